from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.hall import Hall
from tests.engine.nursery import TASKS, setup_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio import Redis

    from jobsd.engine.worker import Worker


@pytest.fixture
async def hall(redis_url: str, redis: Redis) -> AsyncIterator[Hall]:
    opened = Hall(redis_url, redis)
    yield opened
    await opened.close()


@pytest.fixture
def open_worker(hall: Hall, redis_url: str) -> Callable[..., Worker]:
    """Return a function that starts a worker which may have two children, or as many as are asked for."""
    return lambda **options: hall.open(*TASKS, child=setup_of(redis_url), **({"children": 2} | options))
