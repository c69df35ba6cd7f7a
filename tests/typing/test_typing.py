"""Both type checkers, strict, pass the good samples and report each bad call at its line and argument."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.typing import checkers

pytestmark = pytest.mark.slow


class Mark(NamedTuple):
    """Where a sample says ``# E: argument``: the argument's columns; the first is 1."""

    file: str
    line: int
    first: int
    last: int


def marks() -> list[Mark]:
    found: list[Mark] = []
    for sample in sorted(checkers.SAMPLES.glob("bad_*.py")):
        for number, line in enumerate(sample.read_text("utf-8").splitlines(), 1):
            if marked := re.fullmatch(r"(.*?)  # E: (.*)", line):
                code, argument = marked.groups()
                assert argument in code, f"{sample.name}:{number}"
                first = code.rindex(argument) + 1
                found.append(Mark(sample.name, number, first, first + len(argument) - 1))
    return found


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed")
    files = checkers.project(folder)
    return {"pyright": checkers.pyright(folder), "mypy": checkers.mypy(folder, files)}


@pytest.mark.parametrize("checker", ["pyright", "mypy"])
def test_good_calls_pass_with_the_types_that_are_asserted(reports, checker):
    assert [report for report in reports[checker] if report.file == "good.py"] == []


@pytest.mark.parametrize("checker", ["pyright", "mypy"])
def test_each_bad_call_is_reported_at_its_argument(reports, checker):
    missed = [
        mark
        for mark in marks()
        if not any(report.file == mark.file and report.is_at(*mark[1:]) for report in reports[checker])
    ]
    assert missed == []
    assert len(marks()) > 80


@pytest.mark.parametrize("checker", ["pyright", "mypy"])
def test_nothing_else_is_reported(reports, checker):
    marked = {(mark.file, mark.line) for mark in marks()}
    assert [report for report in reports[checker] if (report.file, report.start[0]) not in marked] == []


def test_the_readme_shows_what_pyright_says(reports):
    readme = (checkers.SAMPLES.parents[1] / "README.md").read_text("utf-8")
    [shown] = re.findall(r"^ +\^ (.*)", readme, re.MULTILINE)
    assert shown in {report.text.partition("\n")[0] for report in reports["pyright"]}


def test_what_the_checkers_pass_is_accepted_at_run_time(tmp_path):
    # In a process of its own: hooks hold for the whole of one.
    checkers.project(tmp_path)
    subprocess.run([sys.executable, "-W", "error", "-c", "import good"], cwd=tmp_path, check=True, timeout=60)
