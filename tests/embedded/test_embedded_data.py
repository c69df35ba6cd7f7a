"""Data directories in every condition that a start may find them in."""

from __future__ import annotations

import shlex

import pytest

from jobsd.embedded import Embedded
from jobsd.embedded.binaries import find_postgres
from jobsd.embedded.processes import exists
from jobsd.errors import EmbeddedError


async def test_an_interrupted_initdb_is_done_again(state, run_daemon, until, postgres) -> None:
    daemon = run_daemon("--state", str(state))
    await until((state / "postgres.init" / "PG_VERSION").exists)
    daemon.kill()
    assert not (state / "postgres").exists()

    async with Embedded(state, valkey=False, fsync=False) as embedded:
        assert await postgres(embedded.servers.database_url)("SELECT 1") == 1
    assert not (state / "postgres.init").exists()


@pytest.mark.parametrize("major", ["17", "19"])
async def test_a_database_of_another_major_is_refused(state, major, no_server_lives, until) -> None:
    (state / "postgres").mkdir(parents=True)
    (state / "postgres" / "PG_VERSION").write_text(f"{major}\n")
    with pytest.raises(EmbeddedError, match=rf"made by PostgreSQL {major}; the program found is PostgreSQL 18"):
        await Embedded(state).start()
    await until(lambda: no_server_lives(state))


@pytest.mark.parametrize("writer", ["Valkey 10.0", "Redis 7.2"])
async def test_queues_of_a_newer_or_another_server_are_refused(state, embed, writer) -> None:
    (state / "valkey").mkdir(parents=True)
    (state / "valkey" / "VERSION").write_text(f"{writer}\n")
    with pytest.raises(EmbeddedError, match=rf"written by {writer}; the program found is Valkey"):
        await embed(state, postgres=False).start()


async def test_queues_of_an_older_version_are_taken_and_marked(state) -> None:
    async with Embedded(state, postgres=False):
        pass
    noted = state / "valkey" / "VERSION"
    now = noted.read_text()
    noted.write_text("Valkey 8.1\n")
    async with Embedded(state, postgres=False):
        assert noted.read_text() == now


async def test_lock_files_whose_pid_is_a_stranger_s_do_not_keep_postgres_down(used_state, a_stranger) -> None:
    content = f"{a_stranger}\n{used_state}/postgres\n1\n5432\n{used_state}/run\n\n\n\n"
    for lock_file in (used_state / "postgres" / "postmaster.pid", used_state / "run" / ".s.PGSQL.5432.lock"):
        lock_file.write_text(content)
        lock_file.chmod(0o644)
    async with Embedded(used_state, valkey=False, fsync=False) as embedded:
        assert embedded.owner
    assert exists(a_stranger)


async def test_a_tiny_dev_shm_makes_initdb_go_without_it(state, open_directory, monkeypatch, postgres) -> None:
    # As initdb does in such a container: it fails, unless told to use files.
    real = find_postgres().path.parent
    bindir = open_directory / "bin"
    bindir.mkdir()
    (bindir / "postgres").symlink_to(real / "postgres")
    (bindir / "initdb").write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f'*dynamic_shared_memory_type=mmap*) exec {shlex.quote(str(real / "initdb"))} "$@" ;;\n'
        '*) echo "FATAL:  could not resize shared memory segment: No space left on device"; exit 1 ;;\n'
        "esac\n"
    )
    (bindir / "initdb").chmod(0o755)
    monkeypatch.setenv("JOBSD_PG_BINDIR", str(bindir))
    async with Embedded(state, valkey=False, fsync=False) as embedded:
        assert await postgres(embedded.servers.database_url)("SHOW dynamic_shared_memory_type") == "mmap"


async def test_files_in_the_database_s_place_are_neither_used_nor_removed(state) -> None:
    (state / "postgres").mkdir(parents=True)
    (state / "postgres" / "somebody's.txt").touch()
    with pytest.raises(EmbeddedError, match="but no database"):
        await Embedded(state, valkey=False).start()
    assert (state / "postgres" / "somebody's.txt").exists()


async def test_a_postgres_that_cannot_start_is_quoted_and_nothing_is_left(used_state, no_server_lives) -> None:
    embedded = Embedded(used_state)
    own_settings = used_state / "postgres" / "postgresql.auto.conf"
    before = own_settings.read_text()
    own_settings.write_text("no_such_setting = 1\n")
    try:
        with pytest.raises(
            EmbeddedError, match=r"exit code 1(.|\n)*postgres.log(.|\n)*no_such_setting(.|\n)*What to do"
        ):
            await embedded.start()
    finally:
        own_settings.write_text(before)
    assert not embedded.owner
    assert no_server_lives(used_state)


async def test_a_damaged_append_only_file_is_named_as_such(state, valkey) -> None:
    async with Embedded(state, postgres=False) as embedded:
        await valkey(embedded.servers.redis_url)("SET", "a", "b")
    (damaged,) = (state / "valkey" / "data" / "appendonlydir").glob("*.incr.aof")
    with damaged.open("ab") as file:
        file.write(b"*garbage\r\n" * 10)
    with pytest.raises(EmbeddedError, match=r"append-only file is damaged.*move it aside"):
        await Embedded(state, postgres=False).start()


async def test_a_log_that_has_grown_long_is_set_aside(state) -> None:
    async with Embedded(state, postgres=False):
        pass
    with (state / "log" / "valkey.log").open("ab") as log:
        log.truncate(10_000_001)
    async with Embedded(state, postgres=False):
        pass
    assert (state / "log" / "valkey.log.1").stat().st_size == 10_000_001
    assert (state / "log" / "valkey.log").stat().st_size < 100_000


async def test_the_servers_do_not_get_the_daemon_s_secrets(state, open_directory, monkeypatch) -> None:
    # A server that shows its environment and ends, so that the error quotes it.
    program = open_directory / "valkey-server"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Valkey server v=9.1.2" || { env; exit 1; }\n')
    program.chmod(0o755)
    monkeypatch.setenv("JOBSD_VALKEY_SERVER", str(program))
    for name in ("A_SECRET", "PGDATA", "LC_TIME"):
        monkeypatch.setenv(name, "not for servers")
    with pytest.raises(EmbeddedError, match="LC_ALL=C") as caught:
        await Embedded(state, postgres=False).start()
    assert "not for servers" not in str(caught.value)
