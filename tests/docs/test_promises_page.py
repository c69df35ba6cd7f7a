"""docs/promises.md: the README has its tables word for word, and the tests that it names are there."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "promises.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
LINK = re.compile(r"\[(\w+)\]\(\.\./(tests/[\w/]+\.py)\)")


def tables(text: str) -> list[str]:
    return re.findall(r"^(?:\|.*\n)+", text, re.MULTILINE)


def test_the_readme_quotes_both_tables_word_for_word():
    found = tables(PAGE)
    assert len(found) == 2
    for table in found:
        assert table.replace("](../", "](") in README


def test_each_line_names_a_test_that_is_there():
    for table in tables(PAGE):
        for row in table.splitlines()[2:]:
            assert LINK.search(row), row
    for name, path in LINK.findall(PAGE):
        source = (ROOT / path).read_text("utf-8")
        assert name == "tests" or f"def {name}(" in source, f"{path} has no {name}"
