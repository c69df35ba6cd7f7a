"""Where things are, and whose."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import platformdirs
import pytest

from jobsd.embedded import Embedded, state_directory
from jobsd.embedded.places import Places
from jobsd.errors import EmbeddedError

SHORT = Path("/tmp")  # noqa: S108 - where the sockets go when the path is too long
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_the_argument_goes_before_the_variable_and_the_variable_before_the_default(monkeypatch) -> None:
    default = Path("/var/lib/jobsd") if os.geteuid() == 0 else platformdirs.user_data_path("jobsd")
    assert state_directory() == default
    monkeypatch.setenv("JOBSD_STATE", "/named")
    assert state_directory() == Path("/named")
    assert state_directory(Path("/given")) == Path("/given")


def test_an_ordinary_user_s_default_is_the_system_s_place_for_data(monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state_directory() == platformdirs.user_data_path("jobsd")


def test_addresses_follow_from_the_directory_and_are_quoted() -> None:
    places = Places(Path("/a b/%"))
    assert places.redis_url == "unix:///a%20b/%25/run/valkey.sock"
    assert places.database_url == "postgresql://jobsd@/jobsd?host=%2Fa%20b%2F%25%2Frun"


@pytest.mark.parametrize("state", [Path("/", "long" * 30), Path("/with,comma")], ids=["too long", "comma"])
def test_a_path_that_is_no_socket_s_moves_the_sockets_but_not_the_data(state) -> None:
    places = Places(state)
    assert places.run.parent == SHORT
    assert places.run == Places(state).run != Places(state / "other").run
    assert places.postgres.parent == state


def test_the_longest_path_that_fits_is_used() -> None:
    state = Path("/" + "x" * 84)
    assert len(os.fsencode(Places(state).postgres_socket)) == 103
    assert Places(state).run == state / "run"
    assert Places(Path(f"{state}x")).run.parent == SHORT


async def test_servers_work_below_a_path_too_long_for_sockets(lend_used_state, valkey, postgres) -> None:
    state = lend_used_state("a long name's directory" * 5)
    run = Places(state).run
    async with Embedded(state, fsync=False) as embedded:
        assert await valkey(embedded.servers.redis_url)("PING") is True
        assert await postgres(embedded.servers.database_url)("SELECT 1") == 1
        assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert not run.exists()


async def test_servers_work_below_a_path_with_blanks_and_quotes(lend_used_state, valkey, postgres) -> None:
    state = lend_used_state("""it's "one" 100%""")
    async with Embedded(state, fsync=False) as embedded:
        assert await valkey(embedded.servers.redis_url)("PING") is True
        assert await postgres(embedded.servers.database_url)("SELECT 1") == 1


@as_root
async def test_a_directory_that_somebody_else_has_put_there_is_refused(open_directory) -> None:
    state = open_directory / ("long" * 30)
    squatted = Places(state).run
    squatted.mkdir()
    try:
        os.chown(squatted, 12345, 12345)
        with pytest.raises(EmbeddedError, match="belongs to user id 12345"):
            await Embedded(state, postgres=False).start()
    finally:
        squatted.rmdir()


async def test_a_link_in_the_place_of_a_directory_is_refused(state, open_directory) -> None:
    state.mkdir()
    (state / "log").symlink_to(open_directory)
    with pytest.raises(EmbeddedError, match="or is no directory"):
        await Embedded(state, postgres=False).start()


@as_root
async def test_as_root_a_state_directory_behind_a_closed_one_is_refused_and_not_opened(open_directory) -> None:
    closed = open_directory / "closed"
    closed.mkdir(0o700)
    with pytest.raises(EmbeddedError, match=r"'nobody', who cannot reach (.|\n)*JOBSD_STATE"):
        await Embedded(closed / "state", postgres=False).start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


async def test_the_umask_does_not_close_what_is_made(open_directory, embed) -> None:
    before = os.umask(0o077)
    try:
        embedded = embed(open_directory / "new" / "state", postgres=False)
        await embedded.start()
    finally:
        os.umask(before)
    assert embedded.owner


async def test_a_state_directory_that_cannot_be_made_says_so(open_directory) -> None:
    (open_directory / "file").touch()
    with pytest.raises(EmbeddedError, match=r"cannot be used(.|\n)*JOBSD_STATE"):
        await Embedded(open_directory / "file" / "state", postgres=False).start()


@as_root
async def test_as_root_only_the_data_and_the_sockets_belong_to_the_servers(state, embed) -> None:
    await embed(state, postgres=False).start()
    owners = {place: (state / place).stat().st_uid for place in ("log", "valkey", "valkey/data", "run")}
    nobody = shutil._get_uid("nobody")
    assert owners == {"log": 0, "valkey": 0, "valkey/data": nobody, "run": nobody}
