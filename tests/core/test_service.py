from __future__ import annotations

import asyncio

import pytest

from jobsd.service import Service, backoff_s


class Ticks(Service):
    """Fails ``failing`` times, then succeeds; ``ticked`` is set by each success."""

    def __init__(self, failing: int = 0, pause: float | None = 3600) -> None:
        super().__init__()
        self.failing = failing
        self.pause = pause
        self.ticks = 0
        self.ticked = asyncio.Event()

    async def tick(self) -> float | None:
        await asyncio.sleep(0)
        self.ticks += 1
        if self.ticks <= self.failing:
            raise ValueError(self.ticks)
        self.ticked.set()
        return self.pause


async def test_a_bad_tick_does_not_end_the_service(caplog) -> None:
    caplog.set_level("INFO", "jobsd")
    service = Ticks(failing=2)
    running = asyncio.create_task(service.run())
    async with asyncio.timeout(5):
        await service.recovered.wait()
    service.stop()
    await running
    assert service.failures == 0
    said = [record.getMessage() for record in caplog.records]
    assert said == ["service.failed", "service.recovered"]  # the first in a row, and the end of the row


async def test_stop_ends_a_long_pause_at_once() -> None:
    service = Ticks()
    running = asyncio.create_task(service.run())
    await service.ticked.wait()
    service.stop()
    async with asyncio.timeout(5):
        await running
    assert service.ticks == 1


async def test_a_service_that_was_stopped_before_it_ran_does_not_tick() -> None:
    service = Ticks()
    service.stop()
    await service.run()
    assert service.ticks == 0


async def test_a_cancelled_service_ends() -> None:
    running = asyncio.create_task(Ticks(pause=None).run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_pauses_grow_to_five_seconds_and_are_spread() -> None:
    for failures, longest in ((1, 0.1), (2, 0.2), (5, 1.6), (7, 5.0), (10_000, 5.0)):
        pauses = [backoff_s(failures) for _ in range(500)]
        assert longest / 2 < max(pauses) <= longest
        assert min(pauses) < longest / 2
