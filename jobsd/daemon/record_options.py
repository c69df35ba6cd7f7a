"""What can be set of the ledger: its schema, what goes into it, how long it stays, how much of it may wait in Redis."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from jobsd.duration import format_duration, parse_duration
from jobsd.execution import OutcomeName
from jobsd.redaction import DEFAULT_FIELDS
from jobsd.size import parse_size
from jobsd.store.backlog import percent_of

NO_VIEWS = "none"

_SHORTEST_KEPT = timedelta(hours=1)  # upkeep comes by once an hour, and what ended just now may still be on its way
_LEAST_BACKLOG = 1_000
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_FIELD = re.compile(r"\S(.{0,98}\S)?")


def _schema(name: str) -> str:
    if not _SCHEMA.fullmatch(name):
        msg = f'{name!r} is no name for a schema; allowed are up to 63 of A-Z a-z 0-9 _, or "{NO_VIEWS}"'
        raise ValueError(msg)
    return name


def _backlog(text: str) -> str:
    percent = percent_of(text)
    if percent is None:
        try:
            enough = parse_size(text) >= _LEAST_BACKLOG
        except ValueError:
            enough = False
        if not enough:
            msg = f'{text!r} is neither a share of Redis\' memory, such as "25%", nor 1kB or more, such as "512MB"'
            raise ValueError(msg)
    elif not 1 <= percent <= 90:  # noqa: PLR2004 - a share of what must also hold the jobs
        msg = f"{text!r} is not between 1% and 90%"
        raise ValueError(msg)
    return text


def _kept(value: object) -> timedelta:
    kept = parse_duration(value)
    if kept < _SHORTEST_KEPT:
        msg = f"{value!r} is out of range; allowed is {format_duration(_SHORTEST_KEPT)} or more"
        raise ValueError(msg)
    return kept


def _split(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _field(name: str) -> str:
    if not _FIELD.fullmatch(name):
        msg = f"{name!r} is no name of a field"
        raise ValueError(msg)
    return name


Kept = Annotated[timedelta, BeforeValidator(_kept)]
SchemaName = Annotated[str, AfterValidator(_schema)]
BacklogLimit = Annotated[str, AfterValidator(_backlog)]
FieldName = Annotated[str, AfterValidator(_field)]


class RecordOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    migrate: Literal["auto", "manual"] = "manual"
    """Whether a daemon brings the ledger's schema up to date when it starts, or ``jobsd migrate`` does."""
    views: SchemaName = "public"
    """The schema of the views ``job_executions`` and ``job_log``; "none" for no views."""
    keep: Kept = timedelta(days=90)
    """How long an execution is kept, from its start; the longest of all retentions until its whole month is over."""
    keep_outcomes: dict[OutcomeName, Kept] = {}
    """How long those with another retention are."""
    backlog: BacklogLimit = "25%"
    """How much of Redis' ``maxmemory`` waiting records may take (of none: 512 MiB) before fewer jobs are claimed."""
    redact: Annotated[tuple[FieldName, ...], BeforeValidator(_split)] = DEFAULT_FIELDS
    """Fields of arguments and results that the ledger does not show, at any depth, in any case."""
