"""The demo as somebody runs it: a process, its words, its exit code, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.outcome import check_export, differences
from demo.service import Expected
from jobsd.embedded import running_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).parents[2]
_WITHIN_S = 90


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    # Not pytest's own directory: as root the servers run as another user, who must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="jobsd-test-demo-"))
    folder.chmod(0o755)
    yield folder / "state"
    shutil.rmtree(folder)


@pytest.fixture
def demo(state: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts demos."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        env = {name: text for name, text in os.environ.items() if not name.startswith("JOBSD_")}
        one = subprocess.Popen(
            [sys.executable, "-u", "-m", "demo", "--state", str(state), *options],
            cwd=CHECKOUT,
            env=env | {"REDIS_ENABLE": "false", "COLUMNS": "80"},  # it minds its own servers
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()
        one.communicate()


def interrupted_at(running: subprocess.Popen[str], words: str) -> str:
    """Press Ctrl-C when a line with these words has come; return all that was said."""
    said: list[str] = []
    assert running.stdout is not None
    for line in running.stdout:
        said.append(line)
        if words in line:
            running.send_signal(signal.SIGINT)
    running.wait(_WITHIN_S)
    return "".join(said)


def serves(state: Path) -> Any:
    return asyncio.run(running_servers(state))


@pytest.mark.slow
def test_the_demo_does_what_it_promises_and_stops_what_it_has_started(demo, state) -> None:
    running = demo()
    said, _ = running.communicate(timeout=_WITHIN_S)
    assert running.returncode == 0, said
    for row in (
        r"export:process +1 +1 +0 +0 ",
        r"shop:charge_card +3 +1 +2 +2 ",
        r"shop:print_label +2 +0 +1 +2 ",
        r"shop:update_stock +800 +800 +0 +0 ",
        r"all +2,007 +2,003 +3 +4",
        r"✓ 30,001 lines exported: 30,000 orders and a header",
    ):
        assert re.search(row, said), f"{row} is not in\n{said}"
    assert "Traceback" not in said
    assert (state / "exports" / "orders.csv").read_bytes().count(b"\n") == 30_001
    assert "'=HYPERLINK" in (state / "exports" / "orders.csv").read_text("utf-8")
    assert '"event": "daemon.stopped"' in (state / "daemon.log").read_text("utf-8")
    assert serves(state) is None


@pytest.mark.slow
def test_a_second_demo_counts_only_its_own_and_can_be_left_running(demo, state) -> None:
    running = demo("--keep")
    said = interrupted_at(running, "Ctrl-C stops it.")
    assert running.returncode == 0, said
    assert re.search(r"all +2,007 +2,003 +3 +4", said), said
    assert "export JOBSD_REDIS_URL=unix://" in said
    assert serves(state) is None


@pytest.mark.slow
def test_ctrl_c_in_the_middle_stops_everything(demo, state) -> None:
    running = demo()
    said = interrupted_at(running, "jobsd run, process")
    assert running.returncode == 130, said
    assert "Everything is stopped again" in said
    assert "Traceback" not in said
    assert serves(state) is None


def test_a_job_that_ended_otherwise_than_expected_is_told() -> None:
    expected = {
        "a": Expected("shop:a", "low"),
        "b": Expected("shop:b", "low", runs=3),
        "c": Expected("shop:c", "low", waits_s=2),
        "d": Expected("shop:d", "low"),
        "e": Expected("shop:d", "low"),
        "f": Expected("shop:f", "low", transition="archived"),
    }
    last = {
        "a": {"transition": "archived", "runs": 1, "waited_s": 0.1},
        "b": {"transition": "completed", "runs": 2, "waited_s": 0.1},
        "c": {"transition": "completed", "runs": 1, "waited_s": 1.25},
        "f": {"transition": "archived", "runs": 1, "waited_s": 0.1},
    }
    assert list(differences(expected, last)) == [
        "1 of shop:a: archived at run 1, not completed at run 1 (such as a)",
        "1 of shop:b: completed at run 2, not completed at run 3 (such as b)",
        "1 of shop:c: began after 1.250 s, not 2 s (such as c)",
        "2 of shop:d: no record (such as d)",
    ]


def test_a_file_with_a_line_too_few_is_told() -> None:
    assert list(check_export({"path": "orders.csv", "rows": 30_000}, 30_001)) == []
    assert list(check_export({"path": "orders.csv", "rows": 29_999}, 30_000)) == [
        "orders.csv has 30,000 lines, not 30,001",
        "the export counted 29,999 rows, not 30,000",
    ]
