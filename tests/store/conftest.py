from __future__ import annotations

import pytest

from tests.store.shop import Shop


@pytest.fixture
async def shop(redis) -> Shop:
    return await Shop(redis).open()
