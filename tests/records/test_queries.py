from __future__ import annotations

import re
from importlib.resources import files

import pytest

from jobsd.records.queries import query

NAMES = sorted(entry.name.removesuffix(".sql") for entry in (files("jobsd.records") / "sql").iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_the_header_of_a_query_names_it_and_every_parameter_with_its_type(name):
    text = query(name)
    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("--"))
    body = text.removeprefix(header)
    assert header.startswith(f"-- {name}: ")
    named = re.findall(r"^-- \$(\d+) +\w+ +\w+", header, re.MULTILINE)
    assert [int(number) for number in named] == list(range(1, len(named) + 1))
    assert set(named) == set(re.findall(r"\$(\d+)", body))


@pytest.mark.parametrize("name", NAMES)
def test_every_query_is_used(name):
    sources = [entry.read_text() for entry in files("jobsd.records").iterdir() if entry.name.endswith(".py")]
    assert any(f'query("{name}")' in source for source in sources)
