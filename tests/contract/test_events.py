"""What is logged is an Event, and every Event is logged."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import jobsd
from jobsd.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(jobsd.__file__).parent
ROOMS = [PACKAGE, PACKAGE.parent / "tasks"]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for room in ROOMS:
        for path in sorted(room.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield path, node


def is_event(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Event"


def is_log_line(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
    )


def test_every_event_is_used():
    used = {node.attr for _, node in nodes() if is_event(node) and isinstance(node, ast.Attribute)}
    assert set(Event.__members__) - used == set()


def test_every_log_line_is_an_event():
    lines = [
        f"{path.relative_to(PACKAGE.parent)}:{node.lineno}: {ast.unparse(node)[:80]}"
        for path, node in nodes()
        if is_log_line(node) and isinstance(node, ast.Call) and not (node.args and is_event(node.args[0]))
    ]
    assert lines == []


def test_every_event_that_is_named_exists():
    named = {node.attr for _, node in nodes() if is_event(node) and isinstance(node, ast.Attribute)}
    assert named <= set(Event.__members__)


def test_an_event_is_a_thing_and_a_past_verb_and_called_so():
    for event in Event:
        thing, verb = event.value.split(".")
        assert event.name == f"{thing}_{verb}".upper()
