"""A server that takes nothing for a while, or not everything: every loop goes on, and nothing is lost or run twice."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as GoneError

from jobsd.errors import UnreachableError
from jobsd.store.connection import connect
from tests.acceptance.own_valkey import Valkey
from tests.client.refusing import RefusingProxy, everything
from tests.engine.hall import Hall, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from jobsd import JobRef
    from jobsd.engine.worker import Worker

BASE = "jobsd:{main}:default"


async def quick(ctx) -> int:
    return ctx.attempt


class Gates:
    """Tasks that run until the test lets them; ``started`` has each run's job id."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.started: list[str] = []

    async def meanwhile(self, ctx: Any) -> int:
        self.started.append(ctx.job_id)
        await self.first.wait()
        return ctx.attempt

    async def afterwards(self, ctx: Any) -> int:
        self.started.append(ctx.job_id)
        await self.second.wait()
        return ctx.attempt


@pytest.fixture
def gates() -> Gates:
    return Gates()


@pytest.fixture
async def proxy(redis_url: str, tmp_path: Path) -> AsyncIterator[RefusingProxy]:
    async with RefusingProxy(redis_url, tmp_path / "proxy.sock") as opened:
        yield opened


@pytest.fixture
async def hall_behind(proxy: RefusingProxy, redis: Redis) -> AsyncIterator[Hall]:
    """Return a hall whose workers and client reach Redis through the proxy; its ``redis`` does so directly."""
    opened = Hall(proxy.url, redis)
    yield opened
    proxy.refuses = lambda _: False
    await opened.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what fails try again soon, so that an outage of a second has as many tries as one of a minute."""
    monkeypatch.setattr("jobsd.service._LONGEST_PAUSE_S", 0.05)


# --- only endings fail ----------------------------------------------------------------------------


async def test_a_job_whose_ending_cannot_be_written_for_longer_than_its_lease_does_not_run_again(
    hall, gates: Gates
) -> None:
    gates.first.set()
    worker = hall.make(gates.meanwhile, lease="1s", records=True)
    finish, tries, away = worker.jobs.finish, [], True

    async def finish_unless_away(*args: Any, **options: Any) -> Any:
        tries.append(1)
        if away:
            raise GoneError
        return await finish(*args, **options)

    worker.jobs.finish = finish_unless_away  # type: ignore[method-assign]
    hall.start(worker)
    reference = await hall.client.enqueue("meanwhile")
    await until(lambda: tries)
    lease_end = await hall.redis.zscore(f"{BASE}:active", reference.id)
    hall.open(gates.meanwhile, lease="1s", records=True)  # it would take the job
    await until(lambda: _is_past(hall.redis, lease_end + 1000))
    assert gates.started == [reference.id]
    assert await hall.redis.zscore(f"{BASE}:active", reference.id) > lease_end
    away = False
    assert await hall.result(reference) == 1
    (run,) = await hall.executions(1)
    assert (run.job_id, run.attempt, run.outcome) == (reference.id, 1, "succeeded")
    assert await hall.redis.hgetall(f"{BASE}:stats") == {b"processed": b"1"}
    assert gates.started == [reference.id]
    assert worker.finisher.stale == 0


async def _is_past(redis: Redis, ms: float) -> bool:
    seconds, micros = await redis.time()
    return seconds * 1000 + micros / 1000 > ms


# --- only wake-ups fail ---------------------------------------------------------------------------


async def test_a_worker_that_cannot_listen_tries_again_after_growing_pauses(
    hall_behind: Hall, proxy: RefusingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)  # every pause as long as it may be
    proxy.refuses = lambda command: command == "blpop"
    hall_behind.open(quick, poll="1h")
    await until(lambda: proxy.refused["blpop"] >= 4)
    times = [at for command, at in proxy.refused_at if command == "blpop"][:4]
    pauses = [after - before for before, after in pairwise(times)]
    assert [pause >= least - 0.01 for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True)] == [True] * 3, pauses
    proxy.refuses = lambda _: False
    assert await hall_behind.result(await hall_behind.client.enqueue("quick")) == 1, "it listens again"


# --- back after an outage -------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lease_s", [15, 2], ids=["shorter than a lease", "longer than a lease"])
async def test_after_an_outage_endings_and_a_beat_come_before_the_next_claim(
    hall_behind: Hall, proxy: RefusingProxy, gates: Gates, lease_s: int
) -> None:
    worker = hall_behind.open(gates.meanwhile, quick, lease=f"{lease_s}s", poll="10ms")
    reference = await hall_behind.client.enqueue("meanwhile")
    await until(lambda: gates.started)
    proxy.refuses = everything
    gates.first.set()
    await until(lambda: proxy.refused["claim"] and proxy.refused["finish"])
    if lease_s == 2:
        seconds, _ = await hall_behind.redis.time()
        await until(lambda: _is_past(hall_behind.redis, (seconds + 1 + lease_s) * 1000))
    tried, passed = proxy.refused["finish"], len(proxy.passed)
    proxy.refuses = lambda command: command == "finish"
    await until(lambda: proxy.refused["finish"] >= tried + 10)  # a claim would have come by now
    proxy.refuses = lambda _: False
    await until(lambda: "claim" in proxy.passed[passed:])
    scripts = [command for command in proxy.passed[passed:] if command in {"finish", "extend", "claim"}]
    until_the_claim = scripts[: scripts.index("claim")]
    assert "finish" in until_the_claim
    assert "extend" in until_the_claim[until_the_claim.index("finish") :]
    assert await hall_behind.result(reference) == 1
    assert not worker.finisher.stale


# --- nothing is taken -----------------------------------------------------------------------------


class Loading:
    """A server that answers to everything that it still reads its data."""

    def __init__(self, proxy: RefusingProxy, redis: Redis) -> None:
        self.url = proxy.url
        self.redis = redis
        self._proxy = proxy

    async def begin(self) -> None:
        self._proxy.refuses = everything

    async def end(self) -> None:
        self._proxy.refuses = lambda _: False


class ReadOnly:
    """A server that has become the replica of one that is not there: it can be read, and takes no write."""

    def __init__(self, url: str, redis: Redis) -> None:
        self.url = url
        self.redis = redis

    async def begin(self) -> None:
        await self.redis.execute_command("REPLICAOF", "127.0.0.1", "1")

    async def end(self) -> None:
        await self.redis.execute_command("REPLICAOF", "NO", "ONE")


@pytest.fixture(params=["loading", "read-only"])
async def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Loading | ReadOnly]:
    """Return a server of the test's own that can be made to refuse: it must not refuse other tests."""
    valkey = Valkey(tmp_path)
    await valkey.start()
    try:
        async with connect(valkey.url) as redis:
            if request.param == "read-only":
                yield ReadOnly(valkey.url, redis)
                return
            async with RefusingProxy(valkey.url, tmp_path / "proxy.sock") as proxy:
                yield Loading(proxy, redis)
    finally:
        valkey.kill()


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_takes_nothing_for_longer_than_a_lease_costs_no_job_and_no_ending(
    trouble: Loading | ReadOnly, gates: Gates
) -> None:
    hall = Hall(trouble.url, trouble.redis)
    tasks = (gates.meanwhile, gates.afterwards, quick)
    workers = [hall.open(*tasks, lease="1s", poll="50ms", records=True) for _ in range(2)]
    try:
        first = [await hall.client.enqueue("meanwhile") for _ in range(5)]
        second = [await hall.client.enqueue("afterwards") for _ in range(5)]
        await until(lambda: len(gates.started) == 10)
        lease_ends = [end for _, end in await trouble.redis.zrange(f"{BASE}:active", 0, -1, withscores=True)]

        await trouble.begin()
        gates.first.set()
        with pytest.raises(UnreachableError):
            await hall.client.enqueue("quick")
        await until(lambda: _is_past(trouble.redis, max(lease_ends) + 1000))
        await until(lambda: all(_has_tried_often(worker) for worker in workers))
        await trouble.end()

        assert [await hall.result(reference) for reference in first] == [1] * 5
        await until(lambda: not any(service.failures for worker in workers for service in services(worker)))
        assert await hall.result(await hall.client.enqueue("quick")) == 1
        await until(lambda: _are_held_until(hall, second, max(lease_ends) + 2000))
        gates.second.set()
        assert [await hall.result(reference) for reference in second] == [1] * 5
        runs = await hall.executions(11)
        assert [(run.attempt, run.outcome) for run in runs] == [(1, "succeeded")] * 11
        assert sorted(gates.started) == sorted(reference.id for reference in first + second)
        assert await trouble.redis.hgetall(f"{BASE}:stats") == {b"processed": b"11"}
        assert not await trouble.redis.exists(BASE, f"{BASE}:active", f"{BASE}:archived")
    finally:
        gates.second.set()
        await trouble.end()
        await hall.close()


def services(worker: Worker) -> list[Any]:
    return [worker.dispatcher, worker.finisher, *worker._keepers]


def _has_tried_often(worker: Worker) -> bool:
    """Tell whether endings were refused more often than one may be for its own sake; claims wait for a beat."""
    return worker.dispatcher.failures > 0 and (worker.finisher.failures > 12 or not worker.finisher.backlog)


async def _are_held_until(hall: Hall, references: list[JobRef[Any]], ms: float) -> bool:
    ends = await hall.redis.zmscore(f"{BASE}:active", [reference.id for reference in references])
    return all(end is not None and end > ms for end in ends)
