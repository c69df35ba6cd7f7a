"""How a test waits: for what it looks for, never for time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

PATIENCE_S = 20.0


async def until(happened: Callable[[], Awaitable[Any] | Any], patience_s: float = PATIENCE_S) -> None:
    """Wait until a look, awaited or not, says yes. The patience is a net, not a measure."""
    async with asyncio.timeout(patience_s):
        while True:
            found = happened()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)
