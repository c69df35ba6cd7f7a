"""sql/*.sql: one statement a file, read once. A file's name is the name of its query."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> str:
    return files("jobsd.records").joinpath("sql", f"{name}.sql").read_text("utf-8")
