"""Examples in docstrings are what the functions return."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import jobsd

HOUSE = Path(jobsd.__file__).parent
WITH_EXAMPLES = [
    ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts)
    for path in sorted(HOUSE.rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


def test_there_are_some():
    assert {"jobsd.duration", "jobsd.addresses"} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples(module):
    assert doctest.testmod(import_module(module)).failed == 0
