"""What a call may carry, and what a client does with a server that takes nothing for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest, JobState
from jobsd.errors import UnreachableError
from jobsd.sending import MOST_BYTES
from tests.client.refusing import RefusingProxy, everything

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from jobsd.store.jobs import NewJob

BASE = "jobsd:{main}:default"
_LARGE = "x" * 900_000
_READ_ONLY = b"-READONLY You can't write against a read only replica.\r\n"


@pytest.fixture
async def proxy(redis_url: str, tmp_path: Path) -> AsyncIterator[RefusingProxy]:
    async with RefusingProxy(redis_url, tmp_path / "proxy.sock") as opened:
        yield opened


def sizes_of_calls(client: Client) -> list[int]:
    """Return a list that the bytes of each call's payloads join when it is made."""
    sizes: list[int] = []
    send = client._sending.jobs.enqueue

    async def noting(sender: str, number: int, jobs: Sequence[NewJob]) -> list[bool]:
        sizes.append(sum(len(job.payload) for job in jobs))
        return await send(sender, number, jobs)

    client._sending.jobs.enqueue = noting  # type: ignore[method-assign]
    return sizes


# --- bytes ----------------------------------------------------------------------------------------


async def test_large_jobs_of_one_enqueue_many_travel_in_calls_of_some_8_mib(client: Client, redis) -> None:
    sizes = sizes_of_calls(client)
    references = await client.enqueue_many(JobRequest("any", (_LARGE,), {}, "default") for _ in range(24))
    assert max(sizes) <= MOST_BYTES + 2**20  # whole jobs: the last one may go over
    assert len(sizes) <= 4, "and no smaller than need be"
    assert len({reference.id for reference in references}) == await redis.zcard(BASE) == 24


async def test_large_jobs_of_concurrent_calls_travel_in_batches_of_at_most_8_mib(client: Client, redis) -> None:
    sizes = sizes_of_calls(client)
    references = await asyncio.gather(*(client.enqueue("any", _LARGE) for _ in range(40)))
    assert max(sizes) <= MOST_BYTES
    assert max(sizes) > 2 * 2**20, "and they do travel together"
    assert len({reference.id for reference in references}) == await redis.zcard(BASE) == 40


# --- tries ----------------------------------------------------------------------------------------


async def test_clients_that_failed_together_do_not_try_again_together(tmp_path: Path, monkeypatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noting(seconds: float, result: Any = None) -> Any:
        pauses.append(seconds)
        return await sleep(0, result)

    async def fails() -> None:
        async with Client(f"unix://{tmp_path}/nobody.sock") as client:
            with pytest.raises(UnreachableError):
                await client.enqueue("any")

    monkeypatch.setattr(asyncio, "sleep", noting)
    await asyncio.gather(*(fails() for _ in range(50)))
    waits = [pause for pause in pauses if pause > 0]
    assert len(waits) >= 50, "each has waited before its last try"
    assert len(set(waits)) == len(waits)
    assert max(waits) > 2 * min(waits), "they are spread over a range, not around a point"
    assert max(waits) < 5


@pytest.mark.parametrize("refusal", ["loading", "read-only"])
async def test_a_server_that_refuses_one_try_is_asked_again(redis, proxy: RefusingProxy, refusal: str) -> None:
    async with Client(proxy.url) as client:
        await client.enqueue("warm")
        if refusal == "read-only":
            proxy.refusal = _READ_ONLY
        proxy.refuses = lambda command: command == "enqueue" and not proxy.refused["enqueue"]
        reference = await client.enqueue("any", 1)
        assert proxy.refused["enqueue"] == 1
        assert not reference.duplicate
        assert await reference.status() is JobState.PENDING
    assert await redis.zcard(BASE) == 2


@pytest.mark.parametrize("refusal", ["loading", "read-only"])
async def test_a_server_that_refuses_every_try_is_out_of_reach_and_has_stored_nothing(
    redis, proxy: RefusingProxy, refusal: str
) -> None:
    async with Client(proxy.url) as client:
        if refusal == "loading":
            proxy.refuses = everything
        else:
            proxy.refusal, proxy.refuses = _READ_ONLY, lambda command: command == "enqueue"
        calls = [client.enqueue("any", n) for n in range(5)]
        calls.append(client.enqueue_many([JobRequest("any", (), {}, "default")]))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [UnreachableError] * 6
        assert await redis.zcard(BASE) == 0
        proxy.refuses = lambda _: False
        assert not (await client.enqueue("any")).duplicate
    assert await redis.zcard(BASE) == 1


async def test_questions_that_a_loading_server_refuses_are_out_of_reach_and_answered_rightly_afterwards(
    proxy: RefusingProxy,
) -> None:
    async with Client(proxy.url) as client:
        reference = await client.enqueue("any")
        for refuses in (everything, lambda command: command in {"multi", "zscore"}):  # it began to load in the midst
            proxy.refuses = refuses
            with pytest.raises(UnreachableError):
                await reference.status()
            proxy.refuses = everything
            with pytest.raises(UnreachableError):
                await reference.progress()
            with pytest.raises(UnreachableError):
                await reference.result(1)
            proxy.refuses = lambda _: False
            assert await reference.status() is JobState.PENDING
            assert await reference.progress() is None
