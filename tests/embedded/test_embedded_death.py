"""kill -9, on either side."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from jobsd.embedded import Embedded, running_servers
from jobsd.embedded.processes import is_about, pid_in


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next owner ends them")
async def test_killing_the_daemon_ends_its_servers(used_state, run_daemon, until, no_server_lives, postgres) -> None:
    daemon = run_daemon("--state", str(used_state))
    said = await daemon.ready()
    await postgres(said["database_url"])("CREATE TABLE of_the_daemon AS SELECT 'yes' AS word")
    assert not no_server_lives(used_state)

    daemon.kill()
    await until(lambda: no_server_lives(used_state))
    assert await running_servers(used_state) is None

    async with Embedded(used_state) as next_one:
        assert next_one.owner
        assert await postgres(said["database_url"])("SELECT word FROM of_the_daemon") == "yes"


async def test_servers_that_outlived_their_owner_are_ended_by_the_next(used_state, run_daemon, postgres) -> None:
    daemon = run_daemon("--state", str(used_state), "--no-death-signal")
    said = await daemon.ready()
    orphans = pids(used_state)
    daemon.kill()
    assert await running_servers(used_state)

    async with Embedded(used_state) as next_one:
        assert next_one.owner
        assert pids(used_state).isdisjoint(orphans)
        assert await postgres(said["database_url"])("SELECT 1") == 1


async def test_a_killed_valkey_is_back_on_its_socket_with_its_data(state, embed, until, valkey, caplog) -> None:
    servers = await embed(state, postgres=False).start()
    await valkey(servers.redis_url)("SET", "kept", "yes")
    os.kill(pid_in(state / "run" / "valkey.pid"), signal.SIGKILL)

    await until(lambda: "embedded.restarted" in caplog.messages)
    assert await valkey(servers.redis_url)("GET", "kept") == "yes"


async def test_a_killed_postgres_is_back_on_its_socket_with_its_data(used_state, until, postgres, caplog) -> None:
    async with Embedded(used_state, valkey=False) as embedded:
        ask = postgres(embedded.servers.database_url)
        await ask("CREATE TABLE of_the_killed AS SELECT 'yes' AS word")
        os.kill(pid_in(used_state / "postgres" / "postmaster.pid"), signal.SIGKILL)

        await until(lambda: "embedded.restarted" in caplog.messages)
        assert await ask("SELECT word FROM of_the_killed") == "yes"


async def test_a_server_is_restarted_however_often_it_dies(state, embed, until, caplog) -> None:
    await embed(state, postgres=False).start()
    for times in (1, 2, 3):
        await until((state / "run" / "valkey.pid").exists)
        os.kill(pid_in(state / "run" / "valkey.pid"), signal.SIGKILL)
        await until(lambda times=times: caplog.messages.count("embedded.restarted") == times)


async def test_ctrl_c_does_not_reach_the_servers_of_a_draining_daemon(state, run_daemon) -> None:
    daemon = run_daemon("--state", str(state), "--valkey-only", "--ignore-interrupt", start_new_session=True)
    await daemon.ready()
    valkey = pid_in(state / "run" / "valkey.pid")
    os.killpg(daemon.process.pid, signal.SIGINT)
    assert os.getpgid(valkey) != os.getpgid(daemon.process.pid)
    assert await running_servers(state)
    assert daemon.stop() == 0


async def test_a_stranger_with_a_used_pid_is_not_taken_for_a_server(state, a_stranger) -> None:
    await asyncio.sleep(0)
    assert not is_about(a_stranger, state)
    assert is_about(a_stranger, Path("/bin/sleep"))


def pids(state) -> set[int | None]:
    return {pid_in(state / "run" / "valkey.pid"), pid_in(state / "postgres" / "postmaster.pid")}
