"""A schedule as it is declared: which task, when, and what is done about due times that come at a bad moment."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

from pydantic_core import from_json, to_json

from jobsd.job import is_queue_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobsd.expressions import Expression

Missed: TypeAlias = Literal["skip", "once", "all"]
Overlap: TypeAlias = Literal["allow", "skip", "queue"]
Source: TypeAlias = Literal["config", "code", "arq", "runtime"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One cron or interval entry. It has been checked: options.py makes it of what people write."""

    name: str
    task: str
    at: str
    """The expression, as it was written: ``"0 2 * * *"``, ``"@every 1h30m"``, ``"@once 2026-11-30T09:00:00Z"``."""
    zone: str = "UTC"
    seconds: bool = False
    """The expression has six fields, the first of which is seconds."""
    both_days: bool = False
    """As arq has it: where day of month and weekday are given, both have to match."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    queue: str = "default"
    timeout_ms: int | None = None
    retries: int | None = None
    retry_delay_ms: int | None = None
    """The wait before each retry; None: as the task has it."""
    missed: Missed = "once"
    missed_limit: int = 100
    missed_window_ms: int = _DAY_MS
    """What is older is not caught up."""
    overlap: Overlap = "skip"
    jitter_ms: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    """Due times lie in [start, end)."""
    max_runs: int | None = None
    enabled: bool = True
    description: str = ""
    source: Source = field(default="code", compare=False)
    holidays: str = ""
    """The name of the callable, for people."""
    is_holiday: Callable[[datetime], bool] | None = field(default=None, compare=False, repr=False)
    """Says of a due time, in the schedule's zone, whether nothing is to run then."""

    def expression(self, anchor_ms: int) -> Expression:
        """Return when it is due; intervals are counted from ``anchor_ms``."""
        from jobsd.expressions import parse  # noqa: PLC0415 - cronsim is needed where schedules fire or are shown

        anchor = self.start_ms if self.start_ms is not None else anchor_ms
        return parse(self.at, zone=self.zone, seconds=self.seconds, both_days=self.both_days, anchor_ms=anchor)

    def to_wire(self) -> dict[str, Any]:
        """Return the definition as JSON can hold it: what is not as ever, in a fixed order. The same is equal."""
        wire: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name not in _UNTOLD and (one.name in _ALWAYS or value != _DEFAULTS.get(one.name)):
                wire[one.name] = list(self.args) if one.name == "args" else value
        return wire

    def as_stored(self) -> Self:
        """Return it as a store gives it back: a list is as good as a tuple, and what no store can keep is left out."""
        return self.from_wire({**from_json(to_json(self.to_wire())), "name": self.name}, self.source)

    @classmethod
    def from_wire(cls, wire: dict[str, Any], source: Source) -> Self:
        """Return it; what a later version has added is passed over. Raises ValueError for what this one cannot read."""
        known = {name: value for name, value in wire.items() if name in _NAMES}
        try:
            known["args"] = tuple(known.get("args", ()))
            read = cls(**known, source=source)
        except TypeError as error:
            raise ValueError(error) from None
        for one in fields(cls):
            value, kinds = getattr(read, one.name), _KINDS.get(one.name)
            if kinds is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
                msg = f"{one.name} is {value!r}"
                raise ValueError(msg)
        if (
            read.missed not in get_args(Missed)
            or read.overlap not in get_args(Overlap)
            or not is_queue_name(read.queue)
        ):
            msg = f"missed is {read.missed!r}, overlap {read.overlap!r}, queue {read.queue!r}"
            raise ValueError(msg)
        return read


_UNTOLD = {"name", "source", "is_holiday"}
_ALWAYS = {"task", "at", "zone"}
_NAMES = {one.name for one in fields(Schedule)} - {"source", "is_holiday"}
_MAYBE = (int, type(None))
_KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "task": (str,),
    "at": (str,),
    "zone": (str,),
    "seconds": (bool,),
    "both_days": (bool,),
    "kwargs": (dict,),
    "timeout_ms": _MAYBE,
    "retries": _MAYBE,
    "retry_delay_ms": _MAYBE,
    "missed_limit": (int,),
    "missed_window_ms": (int,),
    "jitter_ms": (int,),
    "start_ms": _MAYBE,
    "end_ms": _MAYBE,
    "max_runs": _MAYBE,
    "enabled": (bool,),
}
_DEFAULTS: dict[str, Any] = {
    "args": (),
    "kwargs": {},
    **{one.name: one.default for one in fields(Schedule) if one.name not in {"name", "task", "at", "args", "kwargs"}},
}
