"""keys.py is the map of Redis: what the scripts write is on it, and what is on it is written by somebody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import jobsd
from jobsd.store import keys

PACKAGE = Path(jobsd.__file__).parent
LUA = sorted((PACKAGE / "store" / "lua").rglob("*.lua"))
NOWHERE = {"<shard>:nothing"}  # never written; its removal is a write that a full server lets through
TYPES = {"string", "zset", "hash", "set", "list", "stream"}


def the_map() -> dict[str, str]:
    """Return key -> type, as the docstring says."""
    assert keys.__doc__
    return dict(re.findall(r"^    ((?:<base>|<shard>|arq:)\S*)  +(\w+)  ", keys.__doc__, re.MULTILINE))


def code(path: Path) -> str:
    return re.sub(r"--.*", "", path.read_text(encoding="utf-8"))


def test_the_map_can_be_read():
    assert len(the_map()) > 15
    assert set(the_map().values()) <= TYPES
    assert the_map()["<base>:active"] == "zset"


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_every_key_of_a_script_is_on_the_map(path):
    named = {re.sub(r"<\w+>$", "", key) for key in the_map()}
    for prefix in re.findall(r"'(arq:[^']*)'", code(path)):
        assert prefix in named
    for owner, rest in re.findall(r"([\w.]+|\])\s*\.\.\s*'(:[a-z-]+:?)'", code(path)):
        owners = {"<shard>"} if owner.endswith("shard") else {"<base>"} if owner == "base" else {"<base>", "<shard>"}
        assert {owner + rest for owner in owners} & (named | NOWHERE)


@pytest.mark.parametrize("key", the_map())
def test_every_key_on_the_map_is_used(key):
    rest = re.sub(r"^<\w+>|<\w+>$", "", key)
    texts = [code(path) for path in LUA]
    texts += [path.read_text(encoding="utf-8").split('"""', 2)[-1] for path in PACKAGE.rglob("*.py")]
    assert any(rest in text for text in texts)


def test_the_totals_of_a_queue_are_those_that_the_scripts_count():
    assert keys.__doc__
    listed = re.search(r"<base>:stats +hash +([\w, ]+): totals", keys.__doc__)
    assert listed
    counted = {name for path in LUA for name in re.findall(r":stats', '(\w+)'", code(path))}
    assert counted == set(listed[1].split(", "))
