"""fsck --release: an arq queue goes back to arq's own workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.errors import ReleaseError, UnknownQueueError
from jobsd.store.handing_back import HandingBack
from jobsd.store.keys import base_key

if TYPE_CHECKING:
    from jobsd.store.handing_back import HandedBack
    from jobsd.store.jobs import Jobs


async def release(jobs: Jobs, queue: str) -> HandedBack:
    """Let ``queue`` be arq's again. Raises UnknownQueueError, and ReleaseError while workers of jobsd are at it."""
    known = await jobs.looks.queues()
    if queue not in known:
        raise UnknownQueueError(queue=queue, known=known)
    if ":" not in queue:
        raise ReleaseError(queue=queue, cause="it is a queue of jobsd's own, which arq cannot read")
    return await HandingBack(jobs.redis, jobs.shard, base_key(queue, jobs.shard)).run()
