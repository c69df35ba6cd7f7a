from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.admin.bureau import Bureau, a_bureau

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=["redis", "postgres"])
async def bureau(request, redis_url, redis, ledger_url) -> AsyncIterator[Bureau]:
    """Schedules where Redis keeps them, and where Postgres does."""
    async with a_bureau(redis_url, redis, ledger_url if request.param == "postgres" else None) as made:
        yield made
