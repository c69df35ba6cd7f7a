"""An outbox and those who use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.engine.hall import Hall
from tests.relay.conveyor import a_belt
from tests.relay.office import Office

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def office(redis_url, redis, database_url) -> AsyncIterator[Office]:
    hall = Hall(redis_url, redis)
    async with a_belt(redis_url, database_url) as belt:
        await belt.recorder()._prepare()
        made = Office(belt, hall, database_url)
        made.conn = await asyncpg.connect(database_url)
        try:
            yield made
        finally:
            await made.conn.close()
            await hall.close()
