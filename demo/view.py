"""What is seen meanwhile: bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

from demo import heed_cancellation, shop
from demo.service import planned
from jobsd import JobState
from jobsd.admin.inspector import Inspector
from jobsd.store.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from demo.daemon import Daemon
    from demo.ground import Ground
    from demo.service import Service

QUEUES = ("critical", "default", "low")
_LOOK_EVERY_S = 0.1
_PLAIN_EVERY_S = 1.0


class View:
    """Looks at the queues, as `jobsd queues` does, and at the export's own progress."""

    def __init__(self, console: Console, ground: Ground, service: Service) -> None:
        self._console = console
        self._inspector = Inspector(Jobs(ground.redis))
        self._service = service
        self._planned = Counter(expected.queue for _, expected in planned()) + Counter(low=1)
        self._done: Counter[str] = Counter()
        self._exported = (0, shop.ORDERS)

    async def until_ended(self, daemon: Daemon) -> None:
        """Show what there is to see until every planned job has ended, or the daemon (DemoError)."""
        began, told = monotonic(), 0.0
        with self._bars() as bars:
            while not await self._look():
                heed_cancellation()
                daemon.check()
                self._move(bars)
                if not self._console.is_terminal and monotonic() - began - told >= _PLAIN_EVERY_S:
                    told = monotonic() - began
                    self._console.print(f"  after {told:.0f} s   {self}", soft_wrap=True)
                await asyncio.sleep(_LOOK_EVERY_S)
            self._move(bars)
        if not self._console.is_terminal:
            self._console.print(f"  after {monotonic() - began:.1f} s   {self}", soft_wrap=True)

    async def _look(self) -> bool:
        for facts in await self._inspector.queues():
            self._done[facts.queue] = facts.completed + facts.archived
        if (export := self._service.export) is not None:
            self._exported = await export.progress() or self._exported
            if await export.status() is JobState.COMPLETED:  # and of its progress no more is known
                self._exported = (shop.ORDERS, shop.ORDERS)
        return self._done >= self._planned

    def _lines(self) -> Iterator[tuple[str, int, int]]:
        yield from ((queue, self._done[queue], self._planned[queue]) for queue in QUEUES)
        yield "export", *self._exported

    def __str__(self) -> str:
        return "   ".join(f"{name} {done:,}/{total:,}" for name, done, total in self._lines())

    @contextmanager
    def _bars(self) -> Iterator[Progress]:
        bars = Progress(
            TextColumn("  {task.description:<9}"),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[count]:>15}"),
            console=self._console,
            expand=True,
            disable=not self._console.is_terminal,
        )
        for name, _, total in self._lines():
            bars.add_task(name, total=total or None, count="")
        with bars:
            yield bars

    def _move(self, bars: Progress) -> None:
        for bar, (_, done, total) in zip(bars.task_ids, self._lines(), strict=True):
            bars.update(bar, completed=done, total=total or None, count=f"{done:,}/{total:,}")
