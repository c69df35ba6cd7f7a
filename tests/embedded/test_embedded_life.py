"""From start to stop."""

from __future__ import annotations

import asyncio
import threading

import pytest
import uvloop

from jobsd.embedded import Embedded, Servers, running_servers
from jobsd.embedded.postgres import Postgres
from jobsd.embedded.valkey import Valkey
from jobsd.errors import EmbeddedError


async def test_a_start_gives_addresses_that_work(used_state, embed, valkey, postgres) -> None:
    embedded = embed(used_state, fsync=False)
    servers = await embedded.start()
    assert embedded.owner
    assert servers.redis_url == f"unix://{used_state}/run/valkey.sock"
    assert await valkey(servers.redis_url)("INCR", "n") == 1
    assert await postgres(servers.database_url)("SELECT current_user || '@' || current_database()") == "jobsd@jobsd"


async def test_making_an_instance_starts_and_creates_nothing(state, embed) -> None:
    assert not embed(state).owner
    assert not state.exists()


async def test_one_server_alone_when_the_other_has_an_address_elsewhere(open_directory, used_state, embed) -> None:
    only_valkey = embed(open_directory / "a", postgres=False)
    assert (await only_valkey.start()).database_url is None
    assert await running_servers(open_directory / "a") == Servers(f"unix://{open_directory}/a/run/valkey.sock", None)
    assert not (open_directory / "a" / "postgres").exists()

    only_postgres = embed(used_state, valkey=False, fsync=False)
    assert (await only_postgres.start()).redis_url is None
    running = await running_servers(used_state)
    assert running
    assert running.redis_url is None


async def test_data_survives_a_stop_and_a_start(used_state, valkey, postgres) -> None:
    async with Embedded(used_state) as embedded:
        servers = embedded.servers
        await valkey(servers.redis_url)("SET", "kept", "yes")
        await postgres(servers.database_url)("CREATE TABLE kept AS SELECT 'yes' AS word")
    async with Embedded(used_state):
        assert await valkey(servers.redis_url)("GET", "kept") == "yes"
        assert await postgres(servers.database_url)("SELECT word FROM kept") == "yes"


async def test_valkey_is_stopped_before_postgres(used_state, monkeypatch) -> None:
    stopped: list[str] = []
    for kind in (Postgres, Valkey):

        async def stop(self, original=kind.stop) -> None:
            await original(self)
            assert not self.alive
            stopped.append(self.name)

        monkeypatch.setattr(kind, "stop", stop)
    async with Embedded(used_state, fsync=False):
        pass
    assert stopped == ["Valkey", "Postgres"]


async def test_starting_and_stopping_twice_is_the_same_as_once(state, embed, no_server_lives) -> None:
    embedded = embed(state, postgres=False)
    await embedded.stop()
    assert await embedded.start() == await embedded.start()
    await asyncio.gather(embedded.stop(), embedded.stop())
    assert not embedded.owner
    assert no_server_lives(state)
    await embedded.start()
    assert embedded.owner


async def test_what_runs_is_asked_without_starting_or_creating_anything(used_state, open_directory, embed) -> None:
    assert await running_servers(open_directory / "nowhere") is None
    assert not (open_directory / "nowhere").exists()
    assert await running_servers(used_state) is None

    embedded = embed(used_state, fsync=False)
    servers = await embedded.start()
    assert await running_servers(used_state) == servers
    await embedded.stop()
    assert await running_servers(used_state) is None


def test_it_works_under_uvloop(used_state) -> None:
    async def live() -> Servers | None:
        async with Embedded(used_state, fsync=False):
            return await running_servers(used_state)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(live()) is not None


def test_a_thread_may_not_own_servers_that_would_end_with_it(state, no_server_lives) -> None:
    refused: list[EmbeddedError] = []

    def start_in_thread() -> None:
        with pytest.raises(EmbeddedError, match="main thread") as caught:
            asyncio.run(Embedded(state, postgres=False).start())
        refused.append(caught.value)

    thread = threading.Thread(target=start_in_thread)
    thread.start()
    thread.join()
    assert refused
    assert no_server_lives(state)


async def test_a_cancelled_start_leaves_nothing_behind(state, embed, until, no_server_lives) -> None:
    embedded = embed(state)
    starting = asyncio.create_task(embedded.start())
    await until((state / "postgres.init" / "PG_VERSION").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not embedded.owner
    await until(lambda: no_server_lives(state))
