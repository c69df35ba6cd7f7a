"""The daemon's log lines: for people on a terminal, JSON everywhere else.

jobsd and the libraries it uses all log through the standard library; the lines get their shape here.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO, cast

import structlog
from structlog.dev import Column, ConsoleRenderer, plain_traceback
from structlog.stdlib import ProcessorFormatter

from jobsd.logger import add_job_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import EventDict, Processor, WrappedLogger

_HANDLER = "jobsd"
_OURS = "jobsd"
_EVENT_WIDTH = 20
_IDENTITY = ("daemon", "task", "job_id", "attempt")

_DIM, _BOLD, _RED, _YELLOW, _GREEN, _BLUE, _RESET = (
    f"\033[{code}m" for code in ("2", "1", "31", "33", "32", "34", "0")
)
_LEVELS = {"debug": _BLUE, "info": _GREEN, "warning": _YELLOW, "error": _RED, "critical": _RED}


def configure_logs(
    level: str = "INFO",
    format: Literal["auto", "console", "json"] = "auto",  # noqa: A002 - the setting's name
    stream: TextIO | None = None,
) -> None:
    """Send every log line of the process to ``stream`` (stderr), and none twice however often it is called.

    ``level`` holds for jobsd. Other libraries are heard from WARNING on, unless it is DEBUG.
    """
    output = sys.stderr if stream is None else stream
    on_terminal = output.isatty()
    for_people = format == "console" or (format == "auto" and on_terminal)
    handler = logging.StreamHandler(output)
    handler.name = _HANDLER
    handler.setFormatter(_for_people(colours=on_terminal and _wants_colours()) if for_people else _for_programs())

    root = logging.getLogger()
    for old in [old for old in root.handlers if old.name == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    ours = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger(_OURS).setLevel(ours)
    root.setLevel(ours if ours <= logging.DEBUG else max(ours, logging.WARNING))
    _name_jobs_in_structlog()


def _name_jobs_in_structlog() -> None:
    """Let lines that tasks write with structlog say which job they are of, unless the program configured it itself."""
    if not structlog.is_configured():
        structlog.configure(processors=[add_job_facts, *structlog.get_config()["processors"]])


def number_lines(daemon: int) -> None:
    """Let every line say which daemon of several it is of; a task's own fact of that name stays."""

    def say(record: logging.LogRecord) -> bool:
        if not hasattr(record, "daemon"):
            record.daemon = daemon
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(say)


def configure_task_logs(modules: Iterable[str], level: str) -> None:
    """Let what the packages of the tasks log be heard as jobsd's own lines are; one that says its own level is left."""
    for package in {module.partition(".")[0] for module in modules}:
        logger = logging.getLogger(package)
        if logger.level == logging.NOTSET:
            logger.setLevel(level.upper())


def configure_arq_logs(level: str) -> None:
    """Let arq's lines about its jobs be heard too: whoever runs its worker knows them."""
    logging.getLogger("arq").setLevel(level.upper())


def _wants_colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _formatter(*processors: Processor) -> ProcessorFormatter:
    facts: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.stdlib.ExtraAdder()]
    return ProcessorFormatter(foreign_pre_chain=facts, processors=[add_job_facts, *processors])


def _for_programs() -> ProcessorFormatter:
    return _formatter(
        _in_order, structlog.processors.StackInfoRenderer(), structlog.processors.format_exc_info, _as_json
    )


def _in_order(_: WrappedLogger, __: str, facts: EventDict) -> EventDict:
    """Put what every line has in front; a fact of the same name does not displace it."""
    record = _take_record(facts)
    at = datetime.fromtimestamp(record.created, UTC)
    head = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": facts["event"],
        "logger": record.name,
    }
    return head | {name: fact for name, fact in _job_first(facts).items() if name not in head}


def _as_json(_: WrappedLogger, __: str, facts: EventDict) -> str:
    return json.dumps(facts, default=str)


def _for_people(*, colours: bool) -> ProcessorFormatter:
    return _formatter(_readable, _console(colours=colours))


def _readable(_: WrappedLogger, __: str, facts: EventDict) -> EventDict:
    record = _take_record(facts)
    facts["time"] = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
    facts["level"] = record.levelname.lower()
    facts.pop("logger", None)
    if record.name != _OURS:
        facts["logger"] = record.name
    return _job_first(facts)


def _job_first(facts: EventDict) -> EventDict:
    """Context variables come in no order; lines are easier to read down if they start alike."""
    return {name: facts[name] for name in _IDENTITY if name in facts} | dict(facts)


def _take_record(facts: EventDict) -> logging.LogRecord:
    # The last two are no facts: other handlers' formatters leave them on the record.
    for name in ("_from_structlog", "message", "asctime"):
        facts.pop(name, None)
    return cast("logging.LogRecord", facts.pop("_record"))


def _console(*, colours: bool) -> ConsoleRenderer:
    def painted(text: str, style: str) -> str:
        return f"{style}{text}{_RESET}" if colours and style else text

    def column(key: str, paint: Callable[[str], str]) -> Column:
        return Column(key, lambda key, value: paint(str(value)))  # noqa: ARG005 - structlog's protocol

    return ConsoleRenderer(
        columns=[
            column("time", lambda time: painted(time, _DIM)),
            column("level", lambda level: painted(f"{level:<7}", _LEVELS.get(level, ""))),
            column("event", lambda event: painted(f"{event:<{_EVENT_WIDTH}}", _BOLD)),
            column("logger", lambda name: painted(name, _BLUE)),
            Column("", lambda key, value: painted(f"{key}=", _DIM) + _shown(value)),
        ],
        # The pretty one prints every local variable, and with them whatever is secret.
        exception_formatter=plain_traceback,
        sort_keys=False,
    )


def _shown(value: object) -> str:
    match value:
        case dict():
            text = ",".join(f"{name}:{part}" for name, part in cast("dict[object, object]", value).items())
        case list() | tuple():
            text = ",".join(map(str, cast("list[object]", value)))
        case _:
            text = str(value)
    return text if text and text.isprintable() and not set(text) & set(" =\"'") else repr(text)
