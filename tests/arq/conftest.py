from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.arq.office import Office

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


@pytest.fixture
async def office(redis_url: str, redis: Redis) -> AsyncIterator[Office]:
    opened = Office(redis_url, redis)
    opened.jobs = await opened.client()
    yield opened
    await opened.close()
