"""What can be exported: queries/*.sql, one SELECT a file, named like its file.

A caller brings a name and values, never SQL. The head of the file declares the parameters, and the values
travel to Postgres beside the statement:

    -- orders: every order with its customer, oldest first.
    --
    -- $1  since   timestamptz
    -- $2  status  text         null: any        (so it may be left out)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from jobsd import SkipRetry

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).with_name("queries")

_PARAMETER = re.compile(r"^-- \$(?P<number>\d+) +(?P<name>\w+) +(?P<type>\w+)(?P<optional> +null:)?", re.MULTILINE)
_TYPES: dict[str, TypeAdapter[Any]] = {
    "text": TypeAdapter(str),
    "integer": TypeAdapter(int),
    "bigint": TypeAdapter(int),
    "numeric": TypeAdapter(Decimal),
    "boolean": TypeAdapter(bool),
    "date": TypeAdapter(date),
    "timestamptz": TypeAdapter(AwareDatetime),
    "uuid": TypeAdapter(UUID),
}


class Parameter(NamedTuple):
    name: str
    type: str
    optional: bool

    def value(self, given: Any) -> Any:
        """Return what Postgres shall get for ``given``, which has come as JSON. Raises SkipRetry."""
        if given is None and self.optional:
            return None
        try:
            return _TYPES[self.type].validate_python(given)
        except ValidationError as error:
            raise SkipRetry(f"parameter {self.name!r} is {given!r}: {error.errors()[0]['msg']}") from None


@dataclass(frozen=True, slots=True)
class NamedQuery:
    name: str
    sql: str
    parameters: tuple[Parameter, ...]

    @property
    def count_sql(self) -> str:
        return f"SELECT count(*) FROM (\n{self.sql}\n) AS counted"  # noqa: S608 - the text is our own file's

    def bind(self, given: Mapping[str, Any]) -> list[Any]:
        """Return the values for $1, $2 … in order. Raises SkipRetry: one is missing, unknown or of a wrong type."""
        names = [parameter.name for parameter in self.parameters]
        wrong = [f"{name!r} is not known" for name in given if name not in names]
        wrong += [f"{name!r} is missing" for name, _, optional in self.parameters if not optional and name not in given]
        if wrong:
            raise SkipRetry(f"parameters of {self.name!r}: {'; '.join(wrong)} (it takes: {', '.join(names) or 'none'})")
        return [parameter.value(given.get(parameter.name)) for parameter in self.parameters]


def named_query(name: str) -> NamedQuery:
    """Return the query of that name. Raises SkipRetry, naming those that exist."""
    known = _queries(FOLDER)
    if name not in known:
        raise SkipRetry(f"there is no query {name!r} to export; available: {', '.join(known) or 'none'}")
    return known[name]


@cache
def _queries(folder: Path) -> dict[str, NamedQuery]:
    return {file.stem: _read(file) for file in sorted(folder.glob("*.sql"))}


def _read(file: Path) -> NamedQuery:
    sql = file.read_text("utf-8").rstrip().rstrip(";")
    declared = list(_PARAMETER.finditer(sql))
    for expected, found in enumerate(declared, start=1):
        if int(found["number"]) != expected or found["type"] not in _TYPES:
            msg = f"{file}: {found[0]!r} should declare ${expected}, with a type of {', '.join(_TYPES)}"
            raise ValueError(msg)
    return NamedQuery(
        file.stem, sql, tuple(Parameter(found["name"], found["type"], bool(found["optional"])) for found in declared)
    )


_queries(FOLDER)  # a file that is wrong stops the daemon at its start, rather than the first export
