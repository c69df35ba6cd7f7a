from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.hall import Hall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


@pytest.fixture
async def hall(redis_url: str, redis: Redis) -> AsyncIterator[Hall]:
    opened = Hall(redis_url, redis)
    yield opened
    await opened.close()
