"""Servers that outlived their owner.

Linux ends them with it. macOS has no such promise, so the next owner looks: every server inherits ``alive.lock``,
and while that is held, one of them lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.embedded.processes import is_about, pid_in
from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.embedded.locks import FileLock
    from jobsd.embedded.places import Places
    from jobsd.embedded.server import Server

_POLL_S = 0.02
# Told by the kernel, they are about to be gone.
_PATIENCE_S = 1.0


async def clear_orphans(alive: FileLock, servers: Sequence[Server], places: Places) -> None:
    """Take ``alive``, ending the servers that still hold it. The caller holds ``owner.lock``."""
    if await _taken(alive, within_s=_PATIENCE_S):
        return
    for strike in range(max((len(server.stop_steps) for server in servers), default=0)):
        steps = [server.stop_steps[min(strike, len(server.stop_steps) - 1)] for server in servers]
        for server, (step, _) in zip(servers, steps, strict=True):
            pid = pid_in(server.pid_file)
            # The lock says that one of them lives, not which; only its command line tells it from a stranger.
            if pid is not None and is_about(pid, places.run, places.postgres):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, step)
        if await _taken(alive, within_s=max(within_s for _, within_s in steps)):
            return
    raise EmbeddedError(
        f"servers of an earlier run still live in {places.state}, and do not stop.\n"
        f"What to do: end the processes that hold {alive.path} (lsof shows them), and start again."
    )


async def _taken(alive: FileLock, *, within_s: float) -> bool:
    deadline = monotonic() + within_s
    while not alive.acquire():
        if monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
