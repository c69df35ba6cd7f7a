from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobsd.events import Event
from jobsd.records import History
from jobsd.records import retention as retention_module
from jobsd.records.folding import fold
from jobsd.records.partitions import drop_partitions, ensure_partitions
from jobsd.records.pool import open_pool
from jobsd.records.queries import query
from jobsd.records.retention import Retention, ledger_now
from jobsd.records.writing import Rejected, reject, write
from tests.records.ledger import a_ledger, a_record, rows
from tests.waiting import until

if TYPE_CHECKING:
    from jobsd.records.pool import Pool

NOW = datetime(2028, 3, 10, 12, tzinfo=UTC)
DECEMBER, JANUARY = datetime(2027, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
WEEK, YEAR = timedelta(weeks=1), timedelta(days=365)


def a_fortnight_for_successes() -> Retention:
    return Retention(YEAR, {"succeeded": 2 * WEEK, "snoozed": timedelta(hours=1)})


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


async def at_once(_took_s: float) -> bool:
    return True


async def not_another(_took_s: float) -> bool:
    return False


async def put(pool: Pool, outcome: str, *ages: timedelta) -> None:
    """Put executions of this outcome there, each called by its outcome and the days since its start."""
    await write(
        pool,
        [a_record(job_id=f"{outcome} {age.days}", outcome=outcome, started_at=ms(NOW - age)) for age in ages],
    )


async def many(pool: Pool, outcome: str, *, number: int, since: datetime, before: datetime) -> None:
    """Put ``number`` executions there, evenly over the time between."""
    await pool.execute(
        "INSERT INTO jobsd.executions (job_id, task, queue, attempt, outcome, transition, started_at, finished_at,"
        " worker) SELECT n || $1, 'task ' || n % 50, 'q', 1, $1, 'completed', at, at, 'w' FROM"
        " (SELECT n, $3::timestamptz + ($4::timestamptz - $3::timestamptz) * n / $2::int AS at"
        " FROM generate_series(0, $2::int - 1) AS n) AS made",
        outcome,
        number,
        since,
        before,
    )


async def left(pool: Pool) -> list[str]:
    return [row["job_id"] for row in await rows(pool)]


def told(caplog: pytest.LogCaptureFixture, event: Event) -> list[dict[str, object]]:
    return [record.__dict__ for record in caplog.records if record.msg == event]


@pytest.fixture(autouse=True)
def all_is_heard(caplog):
    caplog.set_level(logging.INFO, logger="jobsd")


@pytest.fixture
def small_portions(monkeypatch) -> int:
    monkeypatch.setattr(retention_module, "MOST", 10)
    return 10


async def test_each_outcome_goes_when_its_own_time_is_over(database_url, caplog):
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        ages = timedelta(0), 2 * WEEK - timedelta(hours=1), 2 * WEEK + timedelta(hours=1), 9 * WEEK
        for outcome in ("succeeded", "failed", "snoozed"):
            await put(pool, outcome, *ages)
        assert await a_fortnight_for_successes().sweep(pool, NOW, at_once) == "all"
        failures = ["failed 0", "failed 13", "failed 14", "failed 63"]
        assert await left(pool) == [*failures, "snoozed 0", "succeeded 0", "succeeded 13"]
    [line] = told(caplog, Event.EXECUTIONS_DELETED)
    assert (line["count"], line["outcomes"]) == (5, {"succeeded": 2, "snoozed": 3})


async def test_what_is_kept_longest_waits_for_its_month_to_be_over(database_url):
    retention = Retention(8 * WEEK, {"failed": 4 * WEEK})  # 8 weeks ago is the 14th of January
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, DECEMBER)
        await put(pool, "succeeded", 9 * WEEK, 10 * WEEK, 11 * WEEK)
        await put(pool, "failed", 9 * WEEK)
        assert await retention.sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == ["succeeded 63", "succeeded 70", "succeeded 77"]
        dropped = await drop_partitions(pool, retention.over(NOW))
        assert dropped.months[-1] == DECEMBER
        assert await left(pool) == ["succeeded 63"]


async def test_in_the_default_partition_which_is_never_dropped_each_goes_at_its_time(database_url):
    async with a_ledger(database_url) as pool:
        await put(pool, "succeeded", WEEK, 9 * WEEK)
        await put(pool, "failed", 9 * WEEK, YEAR - WEEK, YEAR + WEEK, 55 * YEAR)
        await put(pool, "lost", -YEAR, YEAR + WEEK)
        assert await a_fortnight_for_successes().sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == ["failed 358", "failed 63", "lost -365", "succeeded 7"]


async def test_who_keeps_longer_than_there_are_clocks_keeps_all(database_url):
    async with a_ledger(database_url) as pool:
        await put(pool, "failed", 55 * YEAR)
        forever = Retention(timedelta.max, {"succeeded": timedelta.max})
        assert await forever.sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == ["failed 20075"]


async def test_nothing_to_delete_is_nothing_to_say(database_url, caplog):
    async with a_ledger(database_url) as pool:
        await put(pool, "succeeded", WEEK)
        caplog.clear()
        assert await a_fortnight_for_successes().sweep(pool, NOW, at_once) == "all"
    assert caplog.records == []


async def test_more_than_a_portion_is_deleted_in_several_with_a_rest_between(database_url, small_portions):
    rests: list[float] = []

    async def rest(took_s: float) -> bool:
        rests.append(took_s)
        return True

    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        await many(pool, "succeeded", number=5 * small_portions, since=JANUARY, before=JANUARY)  # all at one instant
        await many(pool, "succeeded", number=5 * small_portions, since=JANUARY - WEEK, before=JANUARY)  # no partition
        await many(pool, "failed", number=3, since=JANUARY, before=NOW)
        assert await a_fortnight_for_successes().sweep(pool, NOW, rest) == "all"
        assert [row["outcome"] for row in await rows(pool)] == ["failed"] * 3
    assert len(rests) == 10


async def test_a_round_that_is_cut_short_is_continued_by_the_next(database_url, small_portions, caplog):
    retention = Retention(YEAR, {"succeeded": WEEK})
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        await many(pool, "succeeded", number=3 * small_portions - 5, since=JANUARY, before=JANUARY + WEEK)
        assert await retention.sweep(pool, NOW, not_another) == "some"
        assert await retention.sweep(pool, NOW, not_another) == "some"
        assert len(await left(pool)) == 5
        assert await retention.sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == []
    assert [line["count"] for line in told(caplog, Event.EXECUTIONS_DELETED)] == [10, 10, 5]


async def test_what_a_killed_process_has_not_deleted_another_one_does(database_url, small_portions, caplog):
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        await many(pool, "succeeded", number=3 * small_portions, since=JANUARY, before=JANUARY + WEEK)
        other = await open_pool(database_url)
        rests = asyncio.Event()

        async def rest(_took_s: float) -> bool:
            rests.set()
            return await asyncio.get_running_loop().create_future()

        killed = asyncio.create_task(Retention(YEAR, {"succeeded": WEEK}).sweep(other, NOW, rest))
        await rests.wait()
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        assert len(await left(pool)) == 2 * small_portions
        assert await Retention(YEAR, {"succeeded": WEEK}).sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == []
        await other.close()
    assert [line["count"] for line in told(caplog, Event.EXECUTIONS_DELETED)] == [10, 20]


async def test_of_two_processes_one_deletes_and_the_other_leaves_it_to_it(database_url):
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        await put(pool, "succeeded", 9 * WEEK)
        async with pool.transaction() as reader:
            await reader.execute("LOCK TABLE jobsd.executions_2028_01")
            one = asyncio.create_task(a_fortnight_for_successes().sweep(pool, NOW, at_once))
            await until(lambda: pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
            assert await Retention(YEAR, {"succeeded": WEEK}).sweep(pool, NOW, at_once) == "elsewhere"
        assert await one == "all"
        assert await left(pool) == []
        # Nothing of it outlives a transaction: the next one finds the way free.
        assert await Retention(YEAR, {"succeeded": WEEK}).sweep(pool, NOW, at_once) == "all"


async def test_a_long_reader_keeps_nobody_from_deleting_nor_a_delete_from_inserting(database_url):
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        await put(pool, "succeeded", 9 * WEEK)
        async with pool.transaction() as reader, pool.transaction() as deleter:
            await reader.fetch("SELECT count(*) FROM jobsd.executions")
            values = "succeeded", JANUARY, NOW, 10
            [row] = await deleter.fetch(query("delete_executions"), *values)
            assert row["executions"] == 1
            await put(pool, "succeeded", 8 * WEEK)
        assert await left(pool) == ["succeeded 56"]


async def test_a_month_about_to_be_dropped_is_not_deleted_row_by_row_first(database_url):
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        await put(pool, "succeeded", 9 * WEEK, 5 * WEEK, 2 * WEEK)  # of January, and of February
        assert await Retention(5 * WEEK, {"succeeded": WEEK}).sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == ["succeeded 63"]


async def test_what_was_written_late_goes_when_all_is_looked_at_again(database_url):
    retention = Retention(YEAR, {"succeeded": WEEK})
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        assert await retention.sweep(pool, NOW, at_once) == "all"
        await put(pool, "succeeded", 2 * WEEK)
        assert await retention.sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == ["succeeded 14"]
        retention.reset()
        assert await retention.sweep(pool, NOW, at_once) == "all"
        assert await left(pool) == []


async def test_what_the_ledger_refused_is_kept_as_long_as_others_are(database_url, small_portions, caplog):
    async with a_ledger(database_url) as pool:
        await reject(pool, [Rejected(f"{n:02}", bytes([n]), "bad") for n in range(25)])
        await pool.execute("UPDATE jobsd.records_rejected SET created_at = $1 WHERE job_id < '15'", NOW - 2 * WEEK)
        await pool.execute("UPDATE jobsd.records_rejected SET created_at = $1 WHERE job_id >= '15'", NOW)
        assert await Retention(WEEK, {"failed": YEAR}).sweep(pool, NOW, at_once) == "all"
        found = await pool.fetch("SELECT job_id FROM jobsd.records_rejected ORDER BY id")
        assert [row["job_id"] for row in found] == [f"{n:02}" for n in range(15, 25)]
    [line] = told(caplog, Event.REJECTED_DELETED)
    assert line["count"] == 15


async def test_statistics_and_failures_that_are_alike_go_with_the_executions_kept_longest(database_url):
    async with a_ledger(database_url) as pool:
        await write(
            pool,
            [
                a_record(job_id=f"{weeks}", outcome="failed", started_at=ms(NOW - weeks * WEEK), fingerprint=f"{weeks}")
                for weeks in (8, 10)
            ],
        )
        assert await fold(pool) == 2
        sums = await pool.fetchval("SELECT count(*) FROM jobsd.statistics")
        assert await Retention(WEEK, {"failed": 9 * WEEK}).sweep(pool, NOW, at_once) == "all"
        assert await pool.fetchval("SELECT count(*) FROM jobsd.statistics") == sums // 2
        assert await pool.fetchval("SELECT array_agg(fingerprint) FROM jobsd.errors") == ["8"]


async def test_statistics_are_there_as_long_as_the_rows_that_they_are_of(database_url):
    """What is kept longest goes by months; sums of days, of hours and of all must not go before."""
    edge = NOW - 9 * WEEK  # in January
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, JANUARY)
        started = [ms(edge) + hour * 3_600_000 for hour in (-100, -5, 5, 100)]
        await write(pool, [a_record(job_id=f"{at}", started_at=at) for at in started])
        await fold(pool)
        assert await Retention(9 * WEEK, {}).sweep(pool, NOW, at_once) == "all"
        assert len(await rows(pool)) == 4
        for step in ("hour", "day", "all"):
            found = await History(pool).statistics(since=DECEMBER, until=NOW, step=step)
            assert sum(one.runs for one in found) == 4, step


async def test_a_clock_that_is_ahead_costs_nothing(database_url, monkeypatch):
    async with a_ledger(database_url) as pool:
        true = await pool.fetchval("SELECT now()")
        monkeypatch.setattr("jobsd.clock.ahead_ms", 10**12)
        assert await ledger_now(pool) - true < timedelta(minutes=5)
        monkeypatch.setattr("jobsd.clock.ahead_ms", -(10**11))
        assert true - await ledger_now(pool) > timedelta(days=1000)


@pytest.mark.parametrize(
    ("outcome", "index"),
    [("succeeded", "executions_2028_01_started_at_idx"), ("failed", "executions_2028_01_outcome_started_at_idx")],
)
async def test_a_delete_opens_one_month_and_goes_by_index(database_url, outcome, index):
    async with a_ledger(database_url) as pool:
        await ensure_partitions(pool, DECEMBER)
        await ensure_partitions(pool, datetime(2028, 3, 1, tzinfo=UTC))
        await many(pool, "succeeded", number=20_000, since=DECEMBER, before=NOW)
        await many(pool, "failed", number=1_000, since=DECEMBER - timedelta(milliseconds=1), before=NOW)
        await pool.execute("ANALYZE jobsd.executions")
        async with pool.transaction() as connection:
            await connection.fetch(query("delete_alone"))
            await connection.execute(f"PREPARE deleting AS {query('delete_executions')}")
            asked = f"EXPLAIN EXECUTE deleting ('{outcome}', '2028-01-01Z', '2028-02-01Z', 500)"
            text = "\n".join(row["QUERY PLAN"] for row in await connection.fetch(asked))
    assert index in text, text
    assert "Tid Scan on executions_2028_01" in text, text
    assert "Seq Scan" not in text, text
    assert not any(month in text for month in ("2027_12", "2028_02", "2028_03", "default")), text


async def test_a_delete_in_the_default_partition_goes_by_index(database_url):
    async with a_ledger(database_url) as pool:
        await many(pool, "succeeded", number=20_000, since=DECEMBER, before=NOW)
        await pool.execute("ANALYZE jobsd.executions_default")
        values = "succeeded", DECEMBER, JANUARY, 500
        plan = "\n".join(row["QUERY PLAN"] for row in await pool.fetch(f"EXPLAIN {query('delete_strays')}", *values))
    assert "executions_default_started_at_idx" in plan, plan
    assert "Seq Scan" not in plan, plan


async def test_effects_and_steps_stay_as_long_as_executions_do_and_steps_of_a_sleeping_job_until_it_has_slept(
    database_url, caplog, small_portions
):
    async with a_ledger(database_url) as pool:
        ages = [WEEK * 53] * 25 + [WEEK * 51]
        for n, age in enumerate(ages):
            await pool.execute("INSERT INTO jobsd.effects VALUES ($1, 'i', 't', 'task', null, $2)", str(n), NOW - age)
            await pool.execute("INSERT INTO jobsd.steps VALUES ($1, 'i', 'charge', 1, 't', '1', $2)", str(n), NOW - age)
        await pool.execute("INSERT INTO jobsd.steps VALUES ('7', 'i', 'sleep:1', 2, 't', '1', $1)", NOW + WEEK)
        caplog.clear()
        assert await Retention(YEAR, {"succeeded": WEEK}).sweep(pool, NOW, at_once) == "all"
        assert [row["job_id"] for row in await pool.fetch("SELECT job_id FROM jobsd.effects")] == ["25"]
        kept = await pool.fetch("SELECT job_id, key FROM jobsd.steps ORDER BY job_id, key")
        assert [tuple(row.values()) for row in kept] == [("25", "charge"), ("7", "charge"), ("7", "sleep:1")]
    [line] = told(caplog, Event.EFFECTS_DELETED)
    assert (line["effects"], line["steps"]) == (25, 24)


async def test_effects_stay_for_a_day_though_executions_go_sooner(database_url):
    async with a_ledger(database_url) as pool:
        for hours in (23, 25):
            at = NOW - timedelta(hours=hours)
            await pool.execute("INSERT INTO jobsd.effects VALUES ($1, 'i', 't', 'task', null, $2)", str(hours), at)
        await Retention(timedelta(hours=1), {}).sweep(pool, NOW, at_once)
        assert [row["job_id"] for row in await pool.fetch("SELECT job_id FROM jobsd.effects")] == ["23"]


async def test_what_came_of_due_times_stays_as_long_as_executions_do_and_longer_where_one_still_waits(database_url):
    insert = """INSERT INTO jobsd.schedule_runs (schedule, due_at, state, last_due_at, decided_at)
        VALUES ('nightly', $1, $2, $1, $1)"""
    async with a_ledger(database_url) as pool:
        for weeks, state in ((51, "fired"), (53, "fired"), (54, "passed"), (55, "waiting")):
            await pool.execute(insert, NOW - WEEK * weeks, state)
        await Retention(YEAR, {}).sweep(pool, NOW, at_once)
        kept = await pool.fetch("SELECT state FROM jobsd.schedule_runs ORDER BY due_at")
    assert [row["state"] for row in kept] == ["waiting", "fired"]


async def test_schedules_that_nobody_needs_any_more_are_forgotten(database_url):
    insert = """INSERT INTO jobsd.schedules (name, source, definition, state, declared_by, created_at)
        VALUES ($1, $2, $3, $4, 'gone', $5)"""
    day = timedelta(days=1)

    def once(at):
        return json.dumps({"task": "x", "at": f"@once {at.isoformat()}"})

    def state(at, **facts):
        ms = int(at.timestamp() * 1000)
        return json.dumps({"cursor": ms, "anchor": ms, **facts})

    async with a_ledger(database_url) as pool:
        for name, source, definition, stands in (
            ("has-been", "runtime", once(NOW - 8 * day), state(NOW - 8 * day)),
            ("was-a-week-ago", "runtime", once(NOW - 6 * day), state(NOW - 6 * day)),
            ("waits", "runtime", once(NOW - 8 * day), state(NOW - 8 * day, waiting=[1])),
            ("is-to-be", "runtime", once(NOW + 8 * day), state(NOW - 9 * day, last_due=1, last_job="by hand")),
            ("goes-on", "runtime", '{"task": "x", "at": "@hourly"}', state(NOW - 9 * day)),
            ("declared-by-none", "config", '{"task": "x", "at": "@hourly"}', state(NOW - 9 * day)),
        ):
            await pool.execute(insert, name, source, definition, stands, NOW - timedelta(days=9000))
        await pool.execute(
            "INSERT INTO jobsd.schedule_runs (schedule, due_at, state, last_due_at) "
            "SELECT name, now(), 'waiting', now() FROM jobsd.schedules"
        )
        await Retention(YEAR, {}).sweep(pool, NOW, at_once)
        kept = await pool.fetch("SELECT name FROM jobsd.schedules ORDER BY name")
        gone = await pool.fetch(
            "SELECT schedule FROM jobsd.schedule_runs WHERE (state, reason) = ('passed', 'removed')"
        )
    assert [row["schedule"] for row in gone] == ["declared-by-none"]
    assert [row["name"] for row in kept] == ["goes-on", "is-to-be", "waits", "was-a-week-ago"]
