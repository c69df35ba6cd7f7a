from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from jobsd.errors import SchemaError, UnreachableError
from jobsd.events import Event
from jobsd.relay import intake
from jobsd.relay import recorder as recorder_module
from jobsd.relay.recorder import Recorder
from tests.relay.conveyor import KEY, a_belt, a_gate, a_lost_value, a_pool, a_value, values

if TYPE_CHECKING:
    from collections.abc import Sequence


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.005)


def events(caplog, event: Event) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.msg == event]


async def test_a_record_is_in_the_ledger_before_it_leaves_the_stream(redis_url, database_url):
    async with a_belt(redis_url, database_url) as belt:
        recorder = belt.recorder()
        await recorder.tick()
        await belt.put(values("a", "b"))
        await recorder.tick()
        assert await belt.recorded() == ["a", "b"]
        assert (recorder.recorded, recorder.rejected, await belt.left()) == (2, 0, 0)


async def test_a_recorder_killed_between_insert_and_settle_leaves_one_row_for_the_next(redis_url, ledger_url):
    async with a_belt(redis_url, ledger_url) as belt:
        killed, heir = belt.recorder("killed"), belt.recorder("heir", silent_ms=0)
        await killed.tick()
        await belt.put(values("a", "b"))

        async def dies(_ids: object) -> None:
            raise asyncio.CancelledError

        killed._stream.settle = dies
        with pytest.raises(asyncio.CancelledError):
            await killed.tick()
        assert (await belt.recorded(), await belt.left()) == (["a", "b"], 1)
        await heir.tick()
        assert (await belt.recorded(), await belt.left()) == (["a", "b"], 0)
        assert heir.recorded == 0


async def test_a_recorder_killed_between_read_and_insert_loses_nothing(redis_url, ledger_url):
    async with a_belt(redis_url, ledger_url) as belt:
        heir = belt.recorder("heir", silent_ms=0)
        await heir.tick()
        await belt.put(values("a"))
        await belt.stream("killed").read(10, 0)
        heir._intake._take_over_at = 0
        await heir.tick()
        assert (await belt.recorded(), await belt.left()) == (["a"], 0)


async def test_entries_of_a_recorder_that_still_works_are_left_to_it(redis_url, ledger_url):
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder("other")
        await recorder.tick()
        await belt.put(values("a"))
        await belt.stream("busy").read(10, 0)
        recorder._intake._take_over_at = 0
        await recorder.tick()
        assert (await belt.recorded(), await belt.left()) == ([], 1)


async def test_what_cannot_be_recorded_is_kept_aside_and_stops_nothing(redis_url, ledger_url, caplog):
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        await belt.put(
            values("a") | {"bad": b"\x80garbage", "odd": a_value(job_id="odd", outcome="glorious")} | values("z")
        )
        await recorder.drain(10)
        assert await belt.recorded() == ["a", "z"]
        assert [(row["job_id"], row["raw"]) for row in await belt.rejected()] == [
            ("bad", b"\x80garbage"),
            ("odd", a_value(job_id="odd", outcome="glorious")),
        ]
        assert (recorder.recorded, recorder.rejected, await belt.left()) == (2, 2, 0)
    [told] = events(caplog, Event.RECORDS_REJECTED)
    assert (told.__dict__["count"], told.__dict__["job_id"]) == (2, "bad")


async def test_a_lost_run_is_recorded_and_replaced_by_its_late_ending(redis_url, ledger_url):
    payload = b'{"i":"a","t":null,"f":"email:send","a":[],"k":{},"et":1795348700000}'
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        await belt.put({"job-1": a_lost_value(payload), "job-2": a_lost_value(b"\x80\x04pickle", job_id="job-2")})
        await recorder.drain(10)
        assert [(row["task"], row["outcome"]) for row in await belt.rows()] == [
            ("email:send", "lost"),
            ("<unknown>", "lost"),
        ]
        await belt.put({"job-1": a_value()})
        await recorder.drain(10)
        assert [row["outcome"] for row in await belt.rows()] == ["succeeded", "lost"]


async def test_with_postgres_away_at_the_start_records_wait_and_it_is_said_once(redis_url, database_url, caplog):
    caplog.set_level(logging.INFO, logger="jobsd")
    async with a_gate(database_url) as gate, a_belt(redis_url, gate.url) as belt:
        recorder = belt.recorder()
        await belt.put(values("a", "b"))
        for _ in range(3):
            assert isinstance(await recorder.tick(), float)
        assert (await belt.left(), recorder.recorded) == (1, 0)
        [told] = events(caplog, Event.POSTGRES_UNREACHABLE)
        assert told.__dict__["url"] == gate.url
        assert events(caplog, Event.POSTGRES_CONNECTED) == []
        await gate.open()
        await recorder.tick()
        assert (await belt.recorded(), await belt.left()) == (["a", "b"], 0)
    assert len(events(caplog, Event.POSTGRES_CONNECTED)) == 1
    assert events(caplog, Event.SERVICE_FAILED) == []


async def test_postgres_that_answers_but_takes_no_writes_is_said_once(redis_url, ledger_url, caplog):
    caplog.set_level(logging.INFO, logger="jobsd")
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        await recorder.tick()
        name = await belt.pool.fetchval("SELECT current_database()")
        await belt.pool.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await belt.put(values("a"))
        async with a_pool(ledger_url) as replica:
            recorder._pool = replica
            for _ in range(3):
                await recorder.tick()
            assert len(events(caplog, Event.POSTGRES_UNREACHABLE)) == 1
            assert events(caplog, Event.POSTGRES_CONNECTED) == []
        recorder._pool = belt.pool
        await recorder.tick()
        assert await belt.recorded() == ["a"]
    assert len(events(caplog, Event.POSTGRES_CONNECTED)) == 1


async def test_the_lag_grows_while_postgres_is_away_and_ends_with_it(redis_url, ledger_url):
    async with a_gate(ledger_url) as gate, a_belt(redis_url, gate.url) as belt:
        recorder = belt.recorder()
        await belt.redis.xadd(KEY, dict(values("a")), id="1795348800000-1")
        await recorder.tick()
        assert recorder.lag_ms > 0 or (await recorder._stream.oldest_age_ms()) == 0
        await gate.open()
        await recorder.drain(10)
        await recorder.tick()
        assert recorder.lag_ms == 0


async def test_postgres_that_goes_and_comes_back_while_records_flow_loses_and_doubles_none(redis_url, ledger_url):
    async with a_gate(ledger_url) as gate, a_belt(redis_url, gate.url) as belt:
        recorder = belt.recorder()
        await gate.open()
        running = asyncio.create_task(recorder.run())
        wanted: list[str] = []

        async def records_flow(cycle: int) -> None:
            for n in range(40):
                ids = [f"{cycle}-{n:02}-{k:02}" for k in range(25)]
                wanted.extend(ids)
                await belt.put(values(*ids))

        async def some_are_written() -> bool:
            return recorder.recorded > before

        async def all_are_written() -> bool:
            return await belt.left() == 0

        for cycle in range(5):
            before = recorder.recorded
            flowing = asyncio.create_task(records_flow(cycle))
            await until(some_are_written)
            await gate.shut()
            await flowing
            await gate.open()
        await until(all_are_written)
        recorder.stop()
        await running
        assert await belt.recorded() == sorted(wanted)
        assert recorder.failures == 0


async def test_postgres_that_dies_during_an_insert_gets_the_records_when_it_is_back(redis_url, ledger_url, caplog):
    async with a_gate(ledger_url) as gate, a_belt(redis_url, gate.url) as belt, a_pool(ledger_url) as direct:
        recorder = belt.recorder()
        await gate.open()
        await recorder.tick()
        await belt.put(values("a"))

        async def insert_waits() -> bool:
            return await direct.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")

        async with direct.transaction() as other:
            await other.execute("LOCK TABLE jobsd.executions")
            ticking = asyncio.create_task(recorder.tick())
            await until(insert_waits)
            await gate.shut()
            await ticking
        assert await belt.left() == 1
        await gate.open()
        await recorder.tick()
        assert (await belt.recorded(), await belt.left()) == (["a"], 0)
    assert len(events(caplog, Event.POSTGRES_UNREACHABLE)) == 1


async def test_several_recorders_share_a_stream_and_every_run_has_one_row(redis_url, database_url):
    async with a_belt(redis_url, database_url) as belt:
        recorders = [belt.recorder(name, silent_ms=0) for name in ("one", "two", "three")]
        running = [asyncio.create_task(recorder.run()) for recorder in recorders]
        for n in range(60):
            await belt.put(values(*(f"{n:02}-{k:02}" for k in range(20))))

        async def all_are_written() -> bool:
            return await belt.left() == 0

        await until(all_are_written)
        for recorder in recorders:
            recorder.stop()
        await asyncio.gather(*running)
        assert len(await belt.recorded()) == 1200
        assert sum(recorder.recorded for recorder in recorders) == 1200


async def test_drain_writes_what_the_stream_holds_after_the_service_was_stopped(redis_url, ledger_url):
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder(block_ms=60_000)
        running = asyncio.create_task(recorder.run())

        async def waits() -> bool:
            return any(client["cmd"] == "xreadgroup" for client in await belt.redis.client_list())

        await until(waits)
        recorder.stop()
        async with asyncio.timeout(5):  # the read would wait for a minute
            await running
        for n in range(300):
            await belt.put(values(f"{n:03}"))
        assert await recorder.drain(30) is True
        assert (len(await belt.recorded()), await belt.left()) == (300, 0)


async def test_drain_without_postgres_ends_and_leaves_the_records(redis_url, ledger_url):
    async with a_gate(ledger_url) as gate, a_belt(redis_url, gate.url) as belt:
        recorder = belt.recorder()
        await belt.put(values("a"))
        assert await recorder.drain(5) is False
        assert await belt.left() == 1
        await gate.open()
        assert await recorder.drain(5) is True
        assert await belt.recorded() == ["a"]


async def test_a_missing_schema_that_is_migrated_by_hand_stops_nothing_for_good(redis_url, database_url):
    async with a_belt(redis_url, database_url) as belt:
        by_hand = Recorder(belt.stream("by-hand"), belt.pool, migrate="manual")
        await belt.put(values("a"))
        with pytest.raises(SchemaError, match="jobsd migrate"):
            await by_hand.tick()
        assert await belt.left() == 1
        await belt.recorder("auto").drain(0.0001)
        await belt.recorder("auto")._prepare()
        await by_hand.tick()
        assert await belt.recorded() == ["a"]


async def test_an_error_that_is_nobodys_row_leaves_the_records_in_the_stream(redis_url, ledger_url):
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        await recorder.tick()
        await belt.pool.execute("ALTER TABLE jobsd.executions RENAME TO elsewhere")
        await belt.put(values("a"))
        with pytest.raises(Exception, match="does not exist"):
            await recorder.tick()
        assert await belt.left() == 1
        await belt.pool.execute("ALTER TABLE jobsd.elsewhere RENAME TO executions")
        await recorder.tick()
        assert (await belt.recorded(), await belt.rejected(), await belt.left()) == (["a"], [], 0)


async def test_a_stream_that_vanishes_is_made_again(redis_url, ledger_url):
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        await recorder.tick()
        await belt.redis.flushdb()
        await recorder.tick()
        await belt.put(values("a"))
        await recorder.tick()
        assert await belt.recorded() == ["a"]


@pytest.fixture
def portions(monkeypatch) -> list[Sequence[tuple[bytes, bytes]]]:
    """What is written, as it is written."""
    seen: list[Sequence[tuple[bytes, bytes]]] = []
    write = recorder_module.write

    async def watched(pool, records, policies):
        seen.append(records)
        return await write(pool, records, policies)

    monkeypatch.setattr(recorder_module, "write", watched)
    return seen


async def test_large_records_are_written_in_portions(redis_url, ledger_url, portions):
    big = "x" * 500_000
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        for n in range(10):
            await belt.put({f"{n}-{k}": a_value(job_id=f"{n}-{k}", message=big) for k in range(5)})
        assert await recorder.drain(60) is True
        assert len(await belt.recorded()) == 50
    assert max(sum(len(value) for _, value in portion) for portion in portions) <= intake.BATCH_BYTES
    assert len(portions) > 2


async def test_a_postgres_that_takes_only_small_portions_in_time_gets_everything(redis_url, ledger_url, monkeypatch):
    most, write, sizes = 100, recorder_module.write, []

    async def slow(pool, records, policies):
        sizes.append(len(records))
        if len(records) > most:
            raise UnreachableError(server="Postgres", url="", cause="no answer in time")
        return await write(pool, records, policies)

    monkeypatch.setattr(recorder_module, "write", slow)
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        await recorder.tick()
        for entry in range(4):
            await belt.put(values(*(f"{entry}-{n:03}" for n in range(250))))
        for _ in range(60):  # each tick writes something, or makes the portions smaller
            await recorder.tick()
        assert (await belt.left(), len(await belt.recorded())) == (0, 1000)
    assert max(sizes) > most


async def test_an_insert_that_takes_too_long_is_tried_again_in_smaller_portions(
    redis_url, ledger_url, portions, monkeypatch
):
    ids = [f"{n:04}" for n in range(recorder_module.BATCH_ROWS)]
    async with a_belt(redis_url, ledger_url) as belt:
        await belt.recorder().tick()
    monkeypatch.setattr("jobsd.records.pool.COMMAND_TIMEOUT_S", 0.2)
    async with a_belt(redis_url, ledger_url) as belt:
        recorder = belt.recorder()
        await recorder.tick()
        await belt.put(values(*ids))
        portions.clear()
        async with belt.pool.transaction() as other:
            await other.execute("LOCK TABLE jobsd.executions")
            await recorder.tick()
        async with asyncio.timeout(30):
            while await belt.left():
                await recorder.tick()
        assert await belt.recorded() == ids
    assert [len(portion) for portion in portions[:2]] == [len(ids), len(ids) // 2]
