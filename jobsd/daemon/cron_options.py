"""What can be set of a schedule: ``[cron.daily-cleanup]``. Each option is checked by schedule/options.py."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from jobsd.daemon.keys import dotted
from jobsd.daemon.problems import shown
from jobsd.schedule.options import ELSEWHERE, NAME_ALLOWED, READERS, is_schedule_name, problems_together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.daemon.layers import Gathered, Table


def _name(name: str) -> str:
    if not is_schedule_name(name):
        msg = f"is no name for a schedule; allowed are {NAME_ALLOWED}"
        raise ValueError(msg)
    return name


def _checked(option: str) -> AfterValidator:
    """Return what refuses a wrong value, and leaves a right one as it is written."""

    def check(value: Any) -> Any:
        if value is not None:
            READERS[option](value)
        return value

    return AfterValidator(check)


ScheduleName: TypeAlias = Annotated[str, AfterValidator(_name)]


class CronOptions(BaseModel):
    """One schedule. None is what is not given: then it is as schedule/definition.py has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    elsewhere: ClassVar[dict[str, str]] = ELSEWHERE

    task: Annotated[str | None, _checked("task")] = None
    at: Annotated[Any, _checked("at")] = None
    every: Annotated[str | None, _checked("every")] = None
    zone: Annotated[str | None, _checked("zone")] = None
    """None: ``timezone`` of the settings."""
    seconds: bool | None = None
    args: Annotated[Any, _checked("args")] = None
    """A table of arguments by name, or a list."""
    queue: Annotated[str | None, _checked("queue")] = None
    """None: the task's."""
    timeout: Annotated[Any, _checked("timeout")] = None
    retries: Annotated[int | None, _checked("retries")] = None
    retry_delay: Annotated[Any, _checked("retry_delay")] = None
    missed: Annotated[str | None, _checked("missed")] = None
    missed_limit: Annotated[int | None, _checked("missed_limit")] = None
    missed_window: Annotated[Any, _checked("missed_window")] = None
    overlap: Annotated[str | None, _checked("overlap")] = None
    jitter: Annotated[Any, _checked("jitter")] = None
    start: Annotated[Any, _checked("start")] = None
    end: Annotated[Any, _checked("end")] = None
    max_runs: Annotated[int | None, _checked("max_runs")] = None
    enabled: bool | None = None
    description: Annotated[str | None, _checked("description")] = None
    holidays: Annotated[str | None, _checked("holidays")] = None
    """The name of a callable, "module:function"."""

    def written(self) -> dict[str, Any]:
        """Return what was given, by name."""
        return self.model_dump(exclude_none=True)


def problems_of_schedules(gathered: Gathered) -> Iterator[str]:
    """Yield a sentence for each option that is right by itself, but not with the others or without them."""
    tables: Any = gathered.tree.get("cron", {})
    for name, table in cast("Table", tables).items() if isinstance(tables, dict) else ():
        if not isinstance(table, dict):
            continue
        written = cast("dict[str, Any]", table).copy()
        for option, value in written.items():
            with suppress(ValidationError):  # it is told elsewhere
                written[option] = getattr(CronOptions.model_validate({option: value}), option)
        for option, problem in problems_together(written, zone="UTC"):  # the zone makes no expression right or wrong
            key = ("cron", name, option)
            given, origin = written.get(option), gathered.origin(key if option in written else key[:2])
            yield f"{origin}: {dotted(key)}: {problem.replace(repr(given), shown(given))}"
