"""Records of every kind that Postgres or Python refuses, among 10,000 good ones: none stops another.

First as they may stand in the stream, whoever wrote them; then as jobs make them through the front door.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import math
import random
import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from jobsd.clock import utc_from_ms
from jobsd.events import Event
from jobsd.execution import Execution
from jobsd.records.folding import fold
from jobsd.records.history import History
from tests.engine.hall import Hall, said
from tests.records.ledger import NOON_MS, an_execution
from tests.relay.conveyor import KEY, a_belt, a_lost_value, a_value
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.relay.conveyor import Belt

_GOOD = 10_000
_ENTRY = 100  # records that one call of finish.lua ends
_YEAR_1_MS, _YEAR_99999_MS = -62_135_596_800_000, 3_093_527_980_800_000
_KEPT, _ALTERED, _REJECTED = "kept", "altered", "rejected"
_ANY = "any of them"  # Postgres takes it, and Python would not: who opens the value depends on its neighbours
_KINDS = get_type_hints(Execution)
_TEXTS = [name for name, kind in _KINDS.items() if kind in {str, str | None}]
_NUMBERS = [name for name, kind in _KINDS.items() if kind in {int, int | None}]
_SPECIAL = {"job_id", "outcome", "transition"}
_LONG = "".join(random.Random(1).choices(string.printable[:94], k=6_000))  # it does not compress


def _python_json(job_id: str, **facts: Any) -> bytes:
    """Return a value with what only Python's JSON has: NaN, halves of surrogate pairs."""
    return json.dumps(an_execution(job_id=job_id, **facts)[:-1]).encode()


def _raw(job_id: str, args: bytes) -> bytes:
    """Return a value whose arguments are these bytes."""
    return a_value(job_id=job_id, args="HERE").replace(b'"HERE"', args)


def _named(job_id: bytes) -> bytes:
    return a_value(job_id="HERE").replace(b"HERE", job_id)


def _in_each(fields: Iterable[str], what: str, value: Any, fate: str) -> dict[str, tuple[bytes, str]]:
    """Return what _POISON holds: for each field a value that has ``value`` there."""
    return {f"{what} {at}": (_python_json(f"{what} {at}", **{at: value}), fate) for at in fields}


# By its name, which is also the job's id: the value, and what becomes of it.
_POISON: dict[str, tuple[bytes, str]] = {
    **_in_each(sorted({*_TEXTS, "args", "result_data"} - _SPECIAL), "zero in", "a\0b", _ALTERED),
    **_in_each(sorted({*_TEXTS, "args", "result_data"} - _SPECIAL), "half a pair in", "a\ud800", _ALTERED),
    **_in_each(("args", "result_data"), "no number in", {"deep": [math.nan, math.inf, -math.inf]}, _ALTERED),
    **_in_each(sorted({*_TEXTS} - {"job_id"}), "an object as", {"odd": 1}, _REJECTED),
    **_in_each(_NUMBERS, "text as", "1", _REJECTED),
    # No index takes these: not that of the rows, or not that of the sums which are made of them later.
    **_in_each(("task", "queue", "schedule_id", "batch_id"), "no end of", _LONG, _REJECTED),
    "no end of fingerprint": (
        a_value(
            job_id="no end of fingerprint",
            outcome="failed",
            transition="archived",
            task=_LONG[:500],
            fingerprint=_LONG[:2_400],
        ),
        _REJECTED,
    ),
    "zero in job_id": (_named(b"zero in job_id\\u0000"), _ALTERED),
    "no text in job_id": (a_value(job_id=17), _REJECTED),
    "ten megabytes": (a_value(job_id="ten megabytes", result_data="x" * 10_000_000), _KEPT),
    "500 deep": (_raw("500 deep", b"[" * 500 + b"]" * 500), _REJECTED),
    "100,000 deep": (_raw("100,000 deep", b"[" * 100_000 + b"]" * 100_000), _REJECTED),
    "5,000 digits": (_raw("5,000 digits", b"9" * 5_000), _ANY),
    "200,000 digits": (_raw("200,000 digits", b"9" * 200_000), _ALTERED),
    "a number beyond floats": (_raw("a number beyond floats", b"1e200000"), _ALTERED),
    "no JSON": (b"no JSON", _REJECTED),
    "pickled": (b"\x80\x04\x95", _REJECTED),
    "empty": (b"", _REJECTED),
    "null": (b"null", _REJECTED),
    "an object": (b'{"job_id": "an object"}', _REJECTED),
    "too short": (b'["too short"]', _REJECTED),
    "half of a value": (a_value(job_id="half of a value")[:-20], _REJECTED),
    "two values": (a_value(job_id="two values") * 2, _REJECTED),
    "no UTF-8 in args": (_raw("no UTF-8 in args", b'"\xff"'), _REJECTED),
    "unknown outcome": (a_value(job_id="unknown outcome", outcome="glorious"), _REJECTED),
    "unknown transition": (a_value(job_id="unknown transition", transition="up"), _REJECTED),
    "attempt of 40 digits": (a_value(job_id="attempt of 40 digits").replace(b",1,", b",%s," % (b"1" * 40)), _REJECTED),
    "started in year 1": (a_value(job_id="started in year 1", started_at=_YEAR_1_MS), _REJECTED),
    "started in year 99999": (a_value(job_id="started in year 99999", started_at=_YEAR_99999_MS), _REJECTED),
    "finished in year 99999": (a_value(job_id="finished in year 99999", finished_at=_YEAR_99999_MS), _REJECTED),
    "finished before it started": (a_value(job_id="finished before it started", finished_at=NOON_MS - 10**12), _KEPT),
    "started in 1970": (a_value(job_id="started in 1970", started_at=0), _KEPT),
    "due in year 99999": (a_value(job_id="due in year 99999", scheduled_for=_YEAR_99999_MS), _KEPT),
    "enqueued in year 1": (a_value(job_id="enqueued in year 1", enqueued_at=_YEAR_1_MS), _KEPT),
    "lost, of no known payload": (a_lost_value(b"\x80\x04pickle", job_id="lost, of no known payload"), _KEPT),
    "lost, of no payload": (a_lost_value(b"", job_id="lost, of no payload"), _KEPT),
    "lost, of odd facts": (b'["lost","lost, of odd facts"]\n{}', _REJECTED),
}


def _good_ids() -> list[str]:
    return [f"good-{n:05}" for n in range(_GOOD)]


async def _put(belt: Belt) -> None:
    """Write the stream: a hundred good ones an entry, and a bad one in the middle of each as long as there are any."""
    poison = iter(_POISON.items())
    ids = _good_ids()
    for start in range(0, _GOOD, _ENTRY):
        good = [(job_id.encode(), a_value(job_id=job_id)) for job_id in ids[start : start + _ENTRY]]
        bad = [(name.encode(), value) for name, (value, _) in itertools.islice(poison, 1)]
        middle = _ENTRY // 2
        await belt.redis.xadd(KEY, dict(good[:middle] + bad + good[middle:]))
    assert next(poison, None) is None
    # What is no fault of one value alone.
    await belt.redis.xadd(
        KEY, {b"good-00000": a_value(job_id="good-00000"), b"\xff\xfe": a_value(job_id="named oddly")}
    )
    twice = [a_value(job_id="twice", outcome=outcome) for outcome in ("succeeded", "failed")]
    await belt.redis.xadd(KEY, {b"twice": twice[0], b"again": twice[1]})


async def test_ten_thousand_good_records_are_there_and_every_bad_one_is_marked_or_set_aside(
    redis_url, database_url, caplog
) -> None:
    caplog.set_level(logging.INFO, logger="jobsd")
    async with a_belt(redis_url, database_url) as belt:
        await _put(belt)
        recorder = belt.recorder()
        running = asyncio.create_task(recorder.run())
        await until(lambda: _all_carried(belt))
        recorder.stop()
        await running
        found = await belt.pool.fetch("SELECT job_id, outcome, altered FROM jobsd.executions ORDER BY job_id")
        rejected = await belt.rejected()
        assert len((await History(belt.pool).executions(limit=2 * _GOOD)).executions) == len(found)
        assert await _counted(belt) == len(found)
    rows = {row["job_id"]: row for row in found}
    assert len(rows) == len(found)
    assert [job_id for job_id in rows if job_id.startswith("good-")] == _good_ids()
    assert not any(rows[job_id]["altered"] for job_id in _good_ids())
    assert said(caplog, Event.SERVICE_FAILED) == []

    fates = {row["job_id"].rstrip("␀"): _ALTERED if row["altered"] else _KEPT for row in found}
    fates |= {bad["job_id"]: _REJECTED for bad in rejected}
    expected = {name: fate for name, (_, fate) in _POISON.items()}
    expected |= {"named oddly": _KEPT, "twice": _KEPT}
    assert {
        name: _ANY if fate is _ANY and name in fates else fates.get(name) for name, fate in expected.items()
    } == expected
    assert rows["twice"]["outcome"] == "succeeded"
    assert len(found) + len(rejected) == _GOOD + len(expected)
    # Of a lost run only what the script has said is kept: nobody knows what the rest shows.
    assert all(bad["cause"] and bad["raw"] == _POISON[bad["job_id"]][0].partition(b"\n{")[0] for bad in rejected)


async def _counted(belt: Belt) -> int:
    """Fold all that was recorded, which nothing of it may hinder, and return how many runs the statistics have."""
    while await fold(belt.pool):
        pass
    every = await History(belt.pool).statistics(since=utc_from_ms(0), until=datetime.max.replace(tzinfo=UTC))
    return sum(each.runs for each in every)


async def _all_carried(belt: Belt) -> bool:
    return await belt.left() == 0


_RESULTS: dict[str, Any] = {
    "not a number": {"deep": [float("nan"), float("inf")]},
    "zero": "a\0b",
    "half a pair": "a\ud800b",
    "zero as a key": {"a\0b": 1, "\udfff": 2},
    "ten megabytes": "x" * 10_000_000,
    "5,000 digits": 10**5_000,
    "bytes": b"\xff\0",
}


def _nested(depth: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


@pytest.fixture
async def hall(redis_url, redis) -> Iterator[Hall]:
    made = Hall(redis_url, redis)
    yield made
    await made.close()


async def test_jobs_with_poisonous_results_and_errors_end_as_they_should_and_have_their_rows(
    hall, redis, redis_url, database_url
) -> None:
    results = _RESULTS | {"500 deep": _nested(500), "100,000 deep": _nested(100_000)}

    async def returns(ctx, what: str) -> Any:
        return results[what]

    async def raises(ctx, what: str) -> None:
        raise ValueError(results[what])

    hall.open(returns, raises, records=True)
    calls = [(task, what) for task in ("returns", "raises") for what in results]
    references = [await hall.client.enqueue(task, what, _retries=0) for task, what in calls]
    await until(lambda: _ended(redis, len(calls)))
    async with a_belt(redis_url, database_url) as belt:
        recorder = belt.recorder()
        assert await recorder.drain(20) is True
        rows = {row["job_id"]: row for row in await belt.rows()}
        assert await belt.rejected() == []
    found = [rows[reference.id] for reference in references]
    ends = {"returns": ("succeeded", "completed"), "raises": ("failed", "archived")}
    assert [(row["task"], row["outcome"], row["transition"]) for row in found] == [
        (task, *ends[task]) for task, _ in calls
    ]
    ways = list(zip(calls, found, strict=True))
    assert {call for call, row in ways if row["altered"]} == {
        ("returns", "not a number"),
        ("returns", "zero"),
        ("raises", "zero"),
    }
    assert {what for (_, what), row in ways if '"replaced"' in (row["result_data"] or "")} == {
        "half a pair",
        "zero as a key",
        "ten megabytes",
        "bytes",
        "500 deep",
        "100,000 deep",
    }
    assert all(row["error_type"] == "ValueError" for row in found if row["task"] == "raises")
    assert all(len(row["result_data"] or "") < 100_000 and len(row["message"] or "") < 5_000 for row in found)


async def _ended(redis: Any, count: int) -> bool:
    return await redis.hget("jobsd:{main}:default:stats", "processed") == str(count).encode()
