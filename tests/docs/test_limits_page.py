"""docs/limits.md: what its reader types runs, and its settings are valid."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from jobsd import CancelState
from jobsd.daemon.settings import load_settings
from tests.docs.pages import ROOT, SETTINGS, blocks, served

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "limits.md").read_text("utf-8")


@pytest.mark.slow
def test_what_the_reader_types_answers_as_shown(tmp_path: Path, redis_url: str, database_url: str) -> None:
    with served(PAGE, tmp_path, redis_url, database_url) as session:
        session.walk()


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in blocks(PAGE, "toml")])
def test_settings_that_are_shown_are_valid(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    file = tmp_path / "jobsd.toml"
    file.write_text(block.source, "utf-8")
    assert load_settings(file).file == file


def test_the_states_of_a_cancel_are_those_that_there_are():
    assert set(re.findall(r"^\| `([A-Z]+)` \|", PAGE, re.MULTILINE)) == {state.name for state in CancelState}
