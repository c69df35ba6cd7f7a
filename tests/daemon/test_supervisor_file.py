"""The files by which supervisors are found."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.supervisor_file import Running, SupervisorFile, running_supervisors

if TYPE_CHECKING:
    from pathlib import Path


def test_a_supervisor_is_found_for_as_long_as_it_lives(tmp_path: Path) -> None:
    assert running_supervisors(tmp_path) == []
    with SupervisorFile(tmp_path, processes=2):
        [found] = running_supervisors(tmp_path)
        assert (found.known.pid, found.known.processes, found.owner) == (os.getpid(), 2, os.geteuid())
    assert running_supervisors(tmp_path) == []
    assert found.look() is None


def test_the_outcome_of_a_reload_is_that_of_the_first_that_began_after_it_was_asked_for(tmp_path: Path) -> None:
    with SupervisorFile(tmp_path, processes=2) as file:
        file.reload_began()
        [asked] = running_supervisors(tmp_path)
        file.reload_ended(replaced=2, seconds=1.0, failure="")
        assert _outcome(asked) is None, "it began before: perhaps with the old code"
        file.reload_began()
        assert _outcome(asked) is None
        file.reload_ended(replaced=1, seconds=1.0, failure="no " * 1000)
        file.reload_began()
        file.reload_ended(replaced=2, seconds=1.0, failure="")
        outcome = _outcome(asked)
        assert outcome is not None
        assert (outcome.number, outcome.failure[:6]) == (2, "no no ")
        assert outcome.consequence == "1 of 2 daemons run the new code, the others the old"


def _outcome(asked: Running):
    now = asked.look()
    assert now is not None
    return now.known.outcome(asked.known.begun + 1)


def test_a_file_whose_supervisor_was_killed_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from jobsd.daemon.supervisor_file import SupervisorFile\n"
        "with SupervisorFile(pathlib.Path(sys.argv[1]), processes=1): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, timeout=60)
    assert len(list((tmp_path / "supervisors").iterdir())) == 1
    assert running_supervisors(tmp_path) == []
    assert list((tmp_path / "supervisors").iterdir()) == []


def test_one_of_another_host_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SupervisorFile(tmp_path, processes=1):
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        assert running_supervisors(tmp_path) == []


def test_what_another_version_wrote_is_named(tmp_path: Path) -> None:
    with SupervisorFile(tmp_path, processes=1):
        [path] = (tmp_path / "supervisors").iterdir()
        path.write_text(json.dumps({"pid": 1, "colour": "red", "ended": []}))
        with pytest.raises(OSError, match="is not what a supervisor of this version writes"):
            running_supervisors(tmp_path)


def test_without_a_place_to_write_it_works_and_says_what_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with SupervisorFile(tmp_path / "file" / "state", processes=1) as file:
        file.reload_began()
        assert not file.reload_ended(replaced=1, seconds=0.1, failure="").failure
    [line] = [record for record in caplog.records if record.getMessage() == "supervisor.unlisted"]
    assert line.consequence == "jobsd reload does not find it; SIGHUP does the same"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_as_root_a_file_of_another_user_reaches_only_processes_of_that_user(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as ours:
        with SupervisorFile(tmp_path, processes=1):
            [path] = (tmp_path / "supervisors").iterdir()
            path.write_text(path.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {ours.pid}'))
            os.chown(path, 65534, 65534)
            [found] = running_supervisors(tmp_path)
            with pytest.raises(subprocess.CalledProcessError):
                found.ask_to_reload()
        assert ours.poll() is None
        ours.kill()
