"""``jobsd``'s public names are said in several places of its front door; they agree."""

from __future__ import annotations

import ast
import pkgutil
from pathlib import Path

import pytest

import jobsd


def imported_for_type_checkers() -> dict[str, str]:
    """Return name -> module, as the block under TYPE_CHECKING says."""
    tree = ast.parse(Path(jobsd.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {
        alias.name: (node.module or "").removeprefix("jobsd.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_no_submodule_bears_the_name_of_a_public_object():
    # After `import jobsd.task` the name `jobsd.task` would be the module.
    modules = {module.name for module in pkgutil.iter_modules(jobsd.__path__)}
    assert modules & set(jobsd.__all__) == set()


def test_what_type_checkers_see_is_what_is_exported():
    assert imported_for_type_checkers() == jobsd._HOMES
    assert sorted(jobsd._HOMES) == sorted(jobsd.__all__)


@pytest.mark.parametrize("name", jobsd.__all__)
def test_every_public_name_leads_to_an_object(name):
    assert getattr(jobsd, name) is not None
    assert name in dir(jobsd)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = jobsd.nonsense
