from __future__ import annotations

import json
import random
import string
from contextlib import contextmanager

import pytest
from pydantic_core import from_json, to_json

from jobsd.records.folding import fold
from jobsd.relay import carrying
from jobsd.relay.intake import BATCH_BYTES
from tests.records.ledger import USUAL, a_ledger, rows
from tests.relay.conveyor import a_lost_value, a_value

GOOD = (b"good", a_value(job_id="good"))
PAYLOAD = b'{"i":"a","t":null,"f":"email:send","a":[],"k":{},"et":1795348700000}'
WHOLE = a_value(job_id="inner")


def with_args(text: bytes) -> bytes:
    """Return a value whose arguments are this JSON."""
    return a_value(args="HERE").replace(b'"HERE"', text)


async def taken_rows(ledger) -> list[dict[str, object]]:
    found = await rows(ledger)
    await ledger.execute("TRUNCATE jobsd.executions")
    return [
        {name: cell for name, cell in row.items() if name not in {"id", "created_at", "updated_at"}} for row in found
    ]


@contextmanager
def undecoded(monkeypatch):
    """No value is decoded while this lasts."""

    def must_not(job_id, value):
        raise AssertionError(job_id, value)

    with monkeypatch.context() as patch:
        patch.setattr(carrying, "decode", must_not)
        yield


async def test_usual_values_become_rows_without_being_decoded(ledger_url, monkeypatch):
    async with a_ledger(ledger_url) as ledger:
        with undecoded(monkeypatch):
            written = await carrying.write(ledger, [(b"a", a_value(job_id="a")), (b"b", a_value(job_id="b"))])
            assert [row["job_id"] for row in await rows(ledger)] == ["a", "b"]
            again = await carrying.write(ledger, [(b"a", a_value(job_id="a"))])
    assert (written, again) == ((2, []), (0, []))


@pytest.mark.parametrize(
    "value",
    [
        a_value(),
        a_value(args=None, result_data=None, incarnation=None, enqueued_at=None, scheduled_for=None),
        a_value(message="m", error_type="E", error_trace='"\\/\n\t☃', schedule_id="s", batch_id="b", trace_id="t"),
        to_json(USUAL[:12]),
        to_json([*USUAL, "news", {"of": "tomorrow"}]),
        json.dumps(USUAL, indent=1).encode().replace(b"[\n ", b"[", 1),
        with_args(b'{"b":1,"a":2,"b":3,"":null}'),
        with_args(b"[0.1,1e16,12345678901234567890123456789,-0.0,1.5e-300,true,false,null]"),
        a_value(args=[[[]]] * 100),
        a_value(result_data=False),
        a_value(result_data="null"),
        a_value(scheduled_for=9_000_000_000_000_000, enqueued_at=-5),
    ],
)
async def test_a_row_is_the_same_whether_postgres_opens_the_value_or_python_does(ledger_url, value):
    async with a_ledger(ledger_url) as ledger:
        assert await carrying.write(ledger, [(b"job-1", value)]) == (1, [])
        sent = await taken_rows(ledger)
        assert await carrying._decode_and_write(ledger, [(b"job-1", value)]) == (1, [])
        assert sent == await taken_rows(ledger)


@pytest.mark.parametrize(
    "hostile",
    [
        [b'["a"],["b"]'],
        [b'["x"]]'],
        [WHOLE + b"," + WHOLE],
        [WHOLE + b"\n" + WHOLE],
        [WHOLE + b'","' + WHOLE],
        [WHOLE + b"}"],
        [WHOLE[:-1], WHOLE + b"]"],
        [WHOLE + b"," + WHOLE[:-1], b'["x"]]'],
        [WHOLE[:-1] + b',["', b'["' + WHOLE[1:] + b"]"],
        [WHOLE + b"\0"],
        [b'["', b'[""]', b'["\\'],
    ],
)
async def test_no_value_breaks_out_of_its_place(ledger_url, hostile):
    sent = [(b"h%d" % n, value) for n, value in enumerate(hostile)]
    async with a_ledger(ledger_url) as ledger:
        written = await carrying.write(ledger, [sent[0], GOOD, *sent[1:]])
        assert [row["job_id"] for row in await rows(ledger)] == ["good"]
    assert written.rows == 1
    assert [bad.raw for bad in written.rejected] == hostile


@pytest.mark.parametrize(
    "value",
    [
        *(
            a_value(**{field: 5})
            for field in ("incarnation", "task", "queue", "outcome", "transition", "worker", "message", "error_type")
        ),
        *(a_value(**{field: 5}) for field in ("error_trace", "schedule_id", "batch_id", "trace_id")),
        *(
            a_value(**{field: wrong})
            for field in ("attempt", "enqueued_at", "scheduled_for", "started_at", "finished_at")
            for wrong in ("1", 1.5, True, [])
        ),
        *(a_value(**{field: None}) for field in ("task", "queue", "attempt", "started_at", "finished_at", "worker")),
        a_value(message={"a": "b"}),
        a_value(attempt=2**31),
        a_value(outcome="glorious"),
        to_json(USUAL[:11]),
        with_args(b"[" * 300 + b"]" * 300),
        with_args(b'{"a":' * 300 + b"0" + b"}" * 300),
        with_args(b"[" * 100_000 + b"]" * 100_000),
        with_args(b"[01]"),
        with_args(b'"a\nb"'),
        with_args(b'"\xff"'),
    ],
)
async def test_a_value_of_the_wrong_kind_is_rejected_alone_and_with_its_bytes(ledger_url, value):
    async with a_ledger(ledger_url) as ledger:
        written = await carrying.write(ledger, [GOOD, (b"bad", value)])
        assert [row["job_id"] for row in await rows(ledger)] == ["good"]
    assert (written.rows, [bad.raw for bad in written.rejected]) == (1, [value])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b'["a\\u0000b",{"k\\u0000":1}]', ["a␀b", {"k␀": 1}]),
        (b'["\\ud800"]', ["�"]),
        (b"[NaN,Infinity,-Infinity,1]", ["NaN", "Infinity", "-Infinity", 1]),
        (b"[1e200000]", ["Infinity"]),
        (b"[" * 150 + b"7" + b"]" * 150, None),
    ],
    ids=["zero", "surrogate", "no numbers", "too large", "nested"],
)
async def test_what_postgres_refuses_in_json_is_kept_in_a_safe_form(ledger_url, text, kept):
    async with a_ledger(ledger_url) as ledger:
        assert await carrying.write(ledger, [GOOD, (b"job-1", with_args(text))]) == (2, [])
        _, row = await rows(ledger)
    assert from_json(row["args"]) == (from_json(text) if kept is None else kept)


@pytest.mark.parametrize("order", [1, -1])
async def test_of_one_run_twice_in_a_portion_the_better_outcome_is_kept(ledger_url, order):
    lost = a_value(outcome="lost", transition="requeued")
    async with a_ledger(ledger_url) as ledger:
        written = await carrying.write(ledger, [(b"job-1", lost), GOOD, (b"job-1", a_value())][::order])
        found = {row["job_id"]: row["outcome"] for row in await rows(ledger)}
    assert (written, found) == ((2, []), {"good": "succeeded", "job-1": "succeeded"})


@pytest.mark.parametrize("order", [1, -1])
async def test_a_lost_run_beside_its_late_ending_ends_as_that(ledger_url, order):
    async with a_ledger(ledger_url) as ledger:
        await carrying.write(ledger, [(b"job-1", a_lost_value(PAYLOAD)), GOOD, (b"job-1", a_value())][::order])
        found = {row["job_id"]: row["outcome"] for row in await rows(ledger)}
    assert found == {"good": "succeeded", "job-1": "succeeded"}


async def test_a_job_called_lost_is_recorded_like_any_other(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        assert await carrying.write(ledger, [GOOD, (b"lost", a_value(job_id="lost"))]) == (2, [])


async def test_a_portion_as_large_as_they_come_is_written_as_it_was_sent(ledger_url, monkeypatch):
    text = "x\n☃" * (BATCH_BYTES // 60)
    portion = [(b"%d" % n, a_value(job_id=str(n), args=[text])) for n in range(9)]
    async with a_ledger(ledger_url) as ledger:
        with undecoded(monkeypatch):
            assert await carrying.write(ledger, portion) == (9, [])
            assert all(from_json(row["args"]) == [text] for row in await rows(ledger))


async def test_nothing_to_write_is_nothing_written(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        assert await carrying.write(ledger, []) == (0, [])


@pytest.mark.parametrize("neighbour", [b"no JSON", a_value(job_id="good")])
async def test_a_number_that_python_cannot_hold_is_a_row_whatever_stands_beside_it(ledger_url, neighbour):
    value = a_value(args="HERE").replace(b'"HERE"', b"9" * 5000)
    async with a_ledger(ledger_url) as ledger:
        written = await carrying.write(ledger, [(b"job-1", value), (b"beside", neighbour)])
        assert "job-1" in {row["job_id"] for row in await rows(ledger)}
    assert {bad.job_id for bad in written.rejected} <= {"beside"}


@pytest.mark.parametrize("field", ["task", "queue", "fingerprint"])
async def test_a_name_that_no_index_could_hold_is_rejected_and_stops_no_folding(ledger_url, field):
    name = "".join(random.Random(1).choices(string.ascii_letters, k=6000))
    async with a_ledger(ledger_url) as ledger:
        written = await carrying.write(ledger, [GOOD, (b"job-1", a_value(**{field: name}))])
        assert await fold(ledger) == 1
    assert (written.rows, [bad.job_id for bad in written.rejected]) == (1, ["job-1"])
