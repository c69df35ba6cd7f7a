"""As an ordinary user: the servers are that user's, and so is the state directory. Needs root to become one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from jobsd.embedded import running_servers

NOBODY = 65534
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def as_nobody(open_directory) -> dict[str, Any]:
    """How to start a process as nobody, with a home of its own."""
    if os.geteuid() != 0:
        pytest.skip("all the other tests ran as an ordinary user")
    home = open_directory / "home"
    home.mkdir(0o700)
    os.chown(home, NOBODY, NOBODY)
    path = os.pathsep.join([str(CHECKOUT), *(place for place in sys.path if place.endswith("site-packages"))])
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": [], "env": environment, "cwd": "/"}


@pytest.fixture
def interpreter(as_nobody) -> str:
    """An interpreter that nobody can run: this one may live in root's home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, shutil.which(version, path="/usr/local/bin:/usr/bin")):
        try:
            tried = subprocess.run([str(found), "-c", "import jobsd.embedded"], **as_nobody, check=False)
        except OSError:
            continue
        if tried.returncode == 0:
            return str(found)
    pytest.skip("no interpreter, or not the checkout, is within an ordinary user's reach")


async def test_an_ordinary_user_runs_the_servers_as_itself(as_nobody, interpreter, run_daemon) -> None:
    daemon = run_daemon(argv=(interpreter,), **as_nobody)
    said = await daemon.ready()
    state = Path(as_nobody["env"]["HOME"], ".local/share/jobsd")
    assert unquote(said["redis_url"]) == f"unix://{state}/run/valkey.sock"
    assert await running_servers(state)
    for made in (state, state / "run" / "valkey.sock", state / "run" / ".s.PGSQL.5432", state / "postgres"):
        assert made.stat().st_uid == NOBODY
        assert made.stat().st_mode & 0o077 == 0
    assert daemon.stop() == 0
