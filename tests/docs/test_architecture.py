"""The map beside the country: floors, keys, scripts and rooms that ARCHITECTURE.md names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from jobsd.store import keys

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
SOURCE = "\n".join(path.read_text("utf-8") for path in (ROOT / "jobsd").rglob("*.py"))


def test_the_floors_are_those_that_the_linter_checks():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [floors] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    drawn = re.search(r"^```\n(cli\n.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert drawn is not None
    assert drawn[1].splitlines() == floors


def test_the_keys_are_those_of_the_store():
    named = set(re.findall(r"(?:<base>|arq|jobsd:\{main\}):[\w:<>-]+", TEXT))
    assert len(named) > 10
    for key in named:
        written = key.replace("jobsd:{main}::", "<shard>:").replace("jobsd:{main}:<queue>", "base key")
        assert written in (keys.__doc__ or ""), key


def test_the_scripts_and_modules_exist():
    for name in re.findall(r"\b((?:include/)?\w+\.lua)\b", TEXT):
        assert (ROOT / "jobsd" / "store" / "lua" / name).is_file(), name
    for name in re.findall(r"\b((?:\w+/)*\w+\.py)\b", TEXT):
        assert (ROOT / name).is_file() or (ROOT / "jobsd" / name).is_file(), name


def test_the_classes_exist():
    for name in set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)*)`", TEXT)):
        assert re.search(rf"^(class {name}\b|{name}: TypeAlias)", SOURCE, re.MULTILINE), name
