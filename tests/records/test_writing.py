from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic_core import from_json

from jobsd.records.writing import Rejected, reject, write, write_as_sent
from tests.records.ledger import NOON, NOON_MS, USUAL, a_ledger, a_record, rows

LOST = {"outcome": "lost", "transition": "requeued", "finished_at": NOON_MS + 9000, "message": "worker fell silent"}


async def test_an_execution_becomes_a_row_with_its_instants_success_and_duration(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        written = await write(ledger, [a_record()])
        [row] = await rows(ledger)
    assert written == (1, [])
    assert row["success"] is True
    assert row["duration_seconds"] == Decimal("1.234")
    assert row["enqueued_at"] == NOON - timedelta(seconds=2)
    assert row["scheduled_for"] == NOON - timedelta(seconds=1)
    assert row["started_at"] == NOON
    assert row["finished_at"] == NOON + timedelta(milliseconds=1234)
    assert from_json(row["args"]) == {"args": ["a@example.com"], "kwargs": {"subject": "Hi"}}
    assert from_json(row["result_data"]) == {"sent": True}
    assert (row["job_id"], row["incarnation"], row["task"], row["queue"]) == ("job-1", "a", "email:send", "default")
    assert (row["worker"], row["message"], row["schedule_id"]) == ("host-1", None, None)


async def test_a_record_that_arrives_twice_is_one_row(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        twice = [a_record(), a_record()]
        first, second = await write(ledger, twice), await write(ledger, twice)
        found = await rows(ledger)
    assert (first.rows, second.rows, len(found)) == (1, 0, 1)
    assert found[0]["updated_at"] == found[0]["created_at"]


async def test_attempts_of_a_job_and_runs_of_a_job_id_used_again_are_rows_of_their_own(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        await write(ledger, [a_record(), a_record(attempt=2), a_record(started_at=NOON_MS + 1)])
        assert len(await rows(ledger)) == 3


async def test_a_better_outcome_replaces_lost(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        await write(ledger, [a_record(**LOST)])
        late = await write(ledger, [a_record()])
        [row] = await rows(ledger)
    assert late.rows == 1
    assert (row["outcome"], row["transition"], row["success"]) == ("succeeded", "completed", True)
    assert (row["message"], row["duration_seconds"]) == (None, Decimal("1.234"))
    assert row["updated_at"] > row["created_at"]


async def test_lost_never_replaces_another_outcome(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        await write(ledger, [a_record(outcome="failed", transition="retry")])
        await write(ledger, [a_record(**LOST)])
        await write(ledger, [a_record(outcome="succeeded")])
        [row] = await rows(ledger)
    assert row["outcome"] == "failed"


@pytest.mark.parametrize("order", [1, -1], ids=["lost first", "lost last"])
async def test_of_two_outcomes_in_one_batch_the_better_is_kept(ledger_url, order):
    async with a_ledger(ledger_url) as ledger:
        written = await write(ledger, [a_record(**LOST), a_record()][::order])
        [row] = await rows(ledger)
    assert (written.rows, row["outcome"]) == (1, "succeeded")


async def test_a_batch_with_bad_rows_keeps_the_good_ones_and_returns_the_bad_with_their_causes(ledger_url):
    good = [a_record(job_id=f"good-{n}") for n in range(40)]
    bad = [
        a_record(job_id="bad-outcome", outcome="glorious"),
        a_record(job_id="bad-transition", transition="vanished"),
        a_record(job_id="bad-attempt", attempt=2**40),
        a_record(job_id="bad-message", message=5),
        a_record(job_id="bad-worker", worker=None),
        a_record(job_id="bad-instant", started_at=-1),
        a_record(job_id="bad-" + "".join(f"{n:x}" for n in range(20_000))),
    ]
    mixed = [record for pair in zip(good, [*bad, *good], strict=False) for record in pair]
    async with a_ledger(ledger_url) as ledger:
        written = await write(ledger, mixed)
        found = {row["job_id"] for row in await rows(ledger)}
    assert found == {record.execution.job_id for record in good}
    assert written.rows == 40
    assert {(b.job_id, b.raw) for b in written.rejected} == {(b.execution.job_id, b.raw) for b in bad}
    causes = {b.job_id: b.cause for b in written.rejected}
    assert "executions_outcome_known" in causes["bad-outcome"]
    assert "expected str, got int" in causes["bad-message"]


async def test_what_postgres_refuses_in_text_and_json_is_kept_in_a_safe_form(ledger_url):
    poison = [
        a_record(job_id="text", message="a\0b", error_trace="x\ud800y"),
        a_record(job_id="json", args={"args": ["a\0b", "\ud800", {"k\0": 1}], "kwargs": {}}),
        a_record(job_id="numbers", result_data=[float("nan"), float("inf"), -float("inf"), 1.5]),
    ]
    async with a_ledger(ledger_url) as ledger:
        written = await write(ledger, [a_record(job_id="good"), *poison])
        found = {row["job_id"]: row for row in await rows(ledger)}
    assert written == (4, [])
    assert (found["text"]["message"], found["text"]["error_trace"]) == ("a␀b", "x�y")
    assert from_json(found["json"]["args"]) == {"args": ["a␀b", "�", {"k␀": 1}], "kwargs": {}}
    assert from_json(found["numbers"]["result_data"]) == ["NaN", "Infinity", "-Infinity", 1.5]
    assert from_json(found["good"]["result_data"]) == {"sent": True}
    assert {job_id for job_id, row in found.items() if row["altered"]} == {"text", "json", "numbers"}


async def test_two_job_ids_that_are_cleaned_into_one_stop_nobody(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        written = await write(ledger, [a_record(job_id="a\0"), a_record(job_id="a␀"), a_record(job_id="b")])
        assert {row["job_id"] for row in await rows(ledger)} == {"a␀", "b"}
    assert written == (2, [])


async def test_an_instant_beyond_what_clients_can_read_is_null(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        await write(ledger, [a_record(scheduled_for=9_000_000_000_000_000, enqueued_at=-5)])
        [row] = await rows(ledger)
    assert (row["scheduled_for"], row["enqueued_at"]) == (None, None)


async def test_a_clock_that_jumped_gives_a_duration_that_fits(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        await write(
            ledger, [a_record(attempt=1, finished_at=NOON_MS - 5), a_record(attempt=2, finished_at=NOON_MS * 2)]
        )
        assert [row["duration_seconds"] for row in await rows(ledger)] == [Decimal("0.000"), Decimal("9999999.999")]


async def test_what_is_rejected_is_kept_once_with_its_bytes_and_cause(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        bad = Rejected("job\0", b"\x80\x04\x00", "no\0 good")
        await reject(ledger, [bad])
        await reject(ledger, [bad, Rejected("other", b"\x80\x04\x00", "no good")])
        await reject(ledger, [])
        found = [
            tuple(row.values()) for row in await ledger.fetch("SELECT job_id, raw, cause FROM jobsd.records_rejected")
        ]
    assert found == [("job␀", b"\x80\x04\x00", "no␀ good"), ("other", b"\x80\x04\x00", "no good")]


async def test_an_error_that_is_not_the_rows_fault_rejects_nothing(ledger_url):
    async with a_ledger(ledger_url) as ledger:
        await ledger.execute("ALTER TABLE jobsd.executions RENAME TO elsewhere")
        with pytest.raises(Exception, match="does not exist"):
            await write(ledger, [a_record()])


async def test_every_field_of_an_execution_has_the_column_of_its_name(ledger_url):
    texts = {"incarnation", "task", "queue", "worker", "message", "error_type", "error_trace"}
    texts |= {"job_id", "schedule_id", "batch_id", "trace_id"}
    facts = {name: f"the {name}" for name in texts} | {"args": ["args"], "result_data": ["result_data"]}
    async with a_ledger(ledger_url) as ledger:
        await write(ledger, [a_record(**facts)])
        [row] = await rows(ledger)
    found = {name: row[name] for name in USUAL._fields}
    instants = {
        name: int(found.pop(name).timestamp() * 1000) for name in USUAL._fields if name.endswith(("_at", "_for"))
    }
    found |= {name: from_json(found[name]) for name in ("args", "result_data")} | instants
    assert found == USUAL._replace(**facts)._asdict()


async def test_of_a_batch_as_it_was_sent_all_is_written_or_nothing(ledger_url):
    good, bad = a_record(job_id="good").raw, a_record(job_id="bad", message=5).raw
    async with a_ledger(ledger_url) as ledger:
        assert await write_as_sent(ledger, [good, bad]) is None
        assert await rows(ledger) == []
        assert await write_as_sent(ledger, [good]) == 1
        assert await write_as_sent(ledger, [good]) == 0
        assert await write_as_sent(ledger, []) == 0
