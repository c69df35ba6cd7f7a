"""Each Lua script begins with what it does, takes and returns; here that is compared with what it goes on to do."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import jobsd

PACKAGE = Path(jobsd.__file__).parent
LUA = PACKAGE / "store" / "lua"


class Script(NamedTuple):
    name: str
    text: str

    @property
    def header(self) -> str:
        """The comment at the top, as prose and lists."""
        lines = self.text.strip().splitlines()
        end = next((n for n, line in enumerate(lines) if not re.match(r"--(?!@)", line)), len(lines))
        return "\n".join(line.removeprefix("--") for line in lines[:end])

    @property
    def body(self) -> str:
        """The code, without comments."""
        return re.sub(r"--.*", "", self.text)

    @property
    def includes(self) -> list[str]:
        return re.findall(r"^--@include (\w+)$", self.text, re.MULTILINE)


class Listed(NamedTuple):
    """The places of KEYS or ARGV that are named one by one, and where the rest begins, if there is any."""

    single: list[int]
    rest_from: int | None


def _scripts_in_python() -> list[Script]:
    found: list[Script] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "redis.call(" in node.value:
                name = re.match(r"\s*-- (\w+):", node.value)
                found.append(Script(name[1] if name else f"a script in {path.name}", node.value))
    return found


FILES = [Script(path.stem, path.read_text(encoding="utf-8")) for path in sorted(LUA.glob("*.lua"))]
INCLUDES = [Script(path.stem, path.read_text(encoding="utf-8")) for path in sorted((LUA / "include").glob("*.lua"))]
FUNCTIONS = {name: set(re.findall(r"^local function (\w+)", text, re.MULTILINE)) for name, text in INCLUDES}

each_script = pytest.mark.parametrize("script", FILES + _scripts_in_python(), ids=lambda script: script.name)
each_text = pytest.mark.parametrize("script", FILES + INCLUDES + _scripts_in_python(), ids=lambda script: script.name)
both = pytest.mark.parametrize("table", ["KEYS", "ARGV"])


def listed(script: Script, table: str) -> Listed:
    found = re.findall(rf"^ {table}(?:\[(\d+)(…?)\])? ", script.header, re.MULTILINE)
    single = [int(number) for number, rest in found if number and not rest]
    rest = [int(number or 1) for number, rest in found if rest or not number]
    assert len(rest) <= 1
    return Listed(single, rest[0] if rest else None)


@each_text
def test_it_begins_with_its_name_and_a_sentence(script):
    first = script.header.partition("\n\n")[0]
    assert re.fullmatch(rf" {script.name}: [^.]+[.?](\s.*)?", first, re.DOTALL)


@each_script
def test_it_tells_what_it_returns(script):
    assert re.search(r"^ Returns +\S", script.header, re.MULTILINE)


@each_script
@both
def test_places_are_listed_without_a_gap(script, table):
    single, rest_from = listed(script, table)
    assert single == list(range(1, len(single) + 1))
    assert rest_from in {None, len(single) + 1}


@each_script
@both
def test_what_is_used_is_listed_and_what_is_listed_is_used(script, table):
    single, rest_from = listed(script, table)
    used = re.findall(rf"{table}\[([^\]]+)\]", script.body)
    numbers = {int(index) for index in used if index.isdigit()}
    whole = bool(re.search(rf"\b{table}\b(?!\[)", script.body.replace(f"#{table}", "")))  # unpack(ARGV)
    computed = whole or any(not index.isdigit() for index in used)
    assert all(number in single or (rest_from and number >= rest_from) for number in numbers)
    assert whole or set(single) <= numbers
    assert computed == (rest_from is not None)


@pytest.mark.parametrize("script", INCLUDES, ids=lambda script: script.name)
def test_an_include_touches_nothing_but_what_it_is_handed(script):
    assert not re.search(r"\b(KEYS|ARGV)\b", script.body)
    assert not script.includes
    assert FUNCTIONS[script.name]


@pytest.mark.parametrize("script", FILES, ids=lambda script: script.name)
def test_what_it_includes_is_what_it_needs(script):
    texts = {include.name: include.body for include in INCLUDES}
    loaded = script.body + "".join(texts[name] for name in script.includes)
    needed = {
        name
        for name, functions in FUNCTIONS.items()
        if any(re.search(rf"(?<!function ){function}\(", loaded) for function in functions)
    }
    assert set(script.includes) == needed
    assert len(script.includes) == len(set(script.includes))


def test_time_is_read_in_one_place():
    readers = [script.name for script in FILES + INCLUDES if re.search(r"'TIME'", script.body, re.IGNORECASE)]
    assert readers == ["clock"]
