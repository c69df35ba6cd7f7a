from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url) as opened:
        yield opened
