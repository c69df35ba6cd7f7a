from __future__ import annotations

import io
import json
import logging
import re
from contextvars import Context, ContextVar
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from jobsd import carry, headers
from jobsd.daemon.logs import configure_logs
from jobsd.events import Event
from jobsd.logger import add_job_facts, log, running_job
from tests.registered import nothing_else_registered

if TYPE_CHECKING:
    from collections.abc import Callable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging(monkeypatch):
    """Handlers and levels are the process's; the other tests shall find theirs."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    loggers = [logging.getLogger(), logging.getLogger("jobsd")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    structlog.reset_defaults()


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def plain(stream: io.StringIO) -> str:
    return re.sub(r"\033\[\d+m", "", stream.getvalue())


def fails() -> None:
    secret_local = "hunter2"  # noqa: S105, F841 - a trace that shows locals would show it
    raise RuntimeError("no\nroute")


def test_a_line_for_programs_has_time_level_event_and_logger_in_front():
    stream = io.StringIO()
    configure_logs("INFO", "json", stream)
    log.info(Event.JOB_RETRIED, delay_s=12.5, cause="x", queues=["a", "b"])
    (line,) = lines_of(stream)
    assert list(line) == ["time", "level", "event", "logger", "delay_s", "cause", "queues"]
    at = str(line.pop("time"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()) < 60
    assert line == {
        "level": "info",
        "event": "job.retried",
        "logger": "jobsd",
        "delay_s": 12.5,
        "cause": "x",
        "queues": ["a", "b"],
    }


def test_an_exception_is_one_string_on_the_same_line():
    stream = io.StringIO()
    configure_logs("INFO", "json", stream)
    try:
        fails()
    except RuntimeError:
        log.exception(Event.SERVICE_FAILED, service="Recorder")
    (line,) = lines_of(stream)
    assert str(line["exception"]).startswith("Traceback (most recent call last):\n")
    assert str(line["exception"]).endswith("RuntimeError: no\nroute")
    assert (line["event"], line["service"]) == ("service.failed", "Recorder")


def test_what_has_no_json_form_is_written_as_text():
    stream = io.StringIO()
    configure_logs("INFO", "json", stream)
    log.info(Event.JOB_DROPPED, at=datetime(2026, 1, 1, tzinfo=UTC), error=ValueError("x"), state=Event.JOB_LOST)
    (line,) = lines_of(stream)
    assert (line["at"], line["error"], line["state"]) == ("2026-01-01 00:00:00+00:00", "x", "job.lost")


def test_a_fact_does_not_displace_what_every_line_has():
    stream = io.StringIO()
    configure_logs("INFO", "json", stream)
    log.info(Event.JOB_LOST, level="x", time="x", logger="x")
    logging.getLogger("library").warning("said", extra={"level": "x"})
    for line, logger in zip(lines_of(stream), ("jobsd", "library"), strict=True):
        assert line["logger"] == logger
        assert "x" not in {line["level"], line["time"]}


def test_the_job_stands_in_front_of_other_facts_also_for_libraries_that_it_calls():
    stream = io.StringIO()
    configure_logs("INFO", "json", stream)
    with bound_contextvars(attempt=1, zone="z", job_id="1", task="email:send"):
        log.info(Event.JOB_LOST, cause="x")
        logging.getLogger("aiosmtplib").warning("slow %s", "server")
    ours, theirs = lines_of(stream)
    assert list(ours)[4:7] == list(theirs)[4:7] == ["task", "job_id", "attempt"]
    assert (theirs["event"], theirs["logger"]) == ("slow server", "aiosmtplib")


def test_a_line_for_people_is_short_and_plain():
    stream = io.StringIO()
    configure_logs("INFO", "console", stream)
    log.warning(
        Event.REDIS_UNREACHABLE,
        url="redis://h",
        queues=["a", "b"],
        weights={"a": 6, "b": 1},
        cause="it's a = b",
        none="",
        esc="\033[31m",
    )
    logging.getLogger("asyncpg").error("gone")
    ours, theirs = stream.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning redis\.unreachable {4}url=.*", ours)
    assert ours.endswith(r"""url=redis://h queues=a,b weights=a:6,b:1 cause="it's a = b" none='' esc='\x1b[31m'""")
    assert re.fullmatch(r"\d\d:\d\d:\d\d error   gone {17}asyncpg", theirs)


def test_the_job_stands_in_front_for_people_too():
    stream = io.StringIO()
    configure_logs("INFO", "console", stream)
    with bound_contextvars(attempt=1, zone="z", job_id="1", task="email:send"):
        log.info(Event.JOB_LOST, cause="x")
    assert re.search(
        r"job\.lost {13}task=email:send job_id=1 attempt=1 (zone=z cause=x|cause=x zone=z)$", stream.getvalue()
    )


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch):
    terminal = Terminal()
    configure_logs("INFO", "auto", terminal)
    log.error(Event.JOB_LOST, cause="x")
    assert "\033[31merror  \033[0m" in terminal.getvalue()
    assert re.fullmatch(r"\d\d:\d\d:\d\d error   job\.lost {13}cause=x\n", plain(terminal))

    monkeypatch.setenv("NO_COLOR", "1")
    calm = Terminal()
    configure_logs("INFO", "auto", calm)
    log.error(Event.JOB_LOST, cause="x")
    assert calm.getvalue() == plain(calm) != ""


def test_a_trace_for_people_shows_no_local_variables():
    stream = Terminal()
    configure_logs("INFO", "auto", stream)
    try:
        fails()
    except RuntimeError:
        log.exception(Event.SERVICE_FAILED)
    assert "Traceback (most recent call last):\n" in stream.getvalue()
    assert "secret_local =" not in stream.getvalue().replace('raise RuntimeError("no', "")


def test_elsewhere_than_on_a_terminal_auto_means_json():
    stream = io.StringIO()
    configure_logs("INFO", "auto", stream)
    log.info(Event.JOB_LOST)
    assert lines_of(stream)[0]["event"] == "job.lost"


def test_without_a_stream_lines_go_to_stderr(capsys):
    configure_logs("INFO", "json")
    log.info(Event.JOB_LOST)
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "job.lost"


def test_called_twice_each_line_is_still_written_once():
    first, second = io.StringIO(), io.StringIO()
    configure_logs("INFO", "json", first)
    configure_logs("INFO", "json", second)
    log.info(Event.JOB_LOST)
    assert first.getvalue() == ""
    assert len(lines_of(second)) == 1


def test_a_handler_of_the_host_program_is_kept():
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)
    configure_logs("INFO", "json", io.StringIO())
    assert theirs in logging.getLogger().handlers


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("DEBUG", ["jobsd debug", "jobsd info", "jobsd error", "lib debug", "lib info", "lib warning", "lib error"]),
        ("INFO", ["jobsd info", "jobsd error", "lib warning", "lib error"]),
        ("WARNING", ["jobsd error", "lib warning", "lib error"]),
        ("ERROR", ["jobsd error", "lib error"]),
    ],
)
def test_libraries_are_heard_from_warning_on_unless_all_is_wanted(level, heard):
    stream = io.StringIO()
    configure_logs(level, "json", stream)
    log.debug("debug")
    log.info("info")
    log.error("error")
    library = logging.getLogger("lib")
    for name in ("debug", "info", "warning", "error"):
        getattr(library, name)(name)
    assert [f"{line['logger']} {line['event']}" for line in lines_of(stream)] == heard


JOB = {"task": "email:send", "job_id": "job-1", "attempt": 2, "queue": "low"}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def in_a_job(write: Callable[[], object], **carried: Any) -> None:
    """Call ``write`` as a runner calls a task: in the job's own context."""

    def run() -> None:
        running_job.set(SimpleNamespace(**JOB))
        headers.restore(carried)
        write()

    Context().run(run)


def test_every_line_that_is_written_in_a_job_says_which_whoever_writes_it():
    stream = io.StringIO()
    configure_logs("DEBUG", "json", stream)
    tenant: ContextVar[str] = ContextVar("tenant")

    def write() -> None:
        log.info(Event.JOB_LOST, cause="x")
        logging.getLogger("shop").info("sold %s", "it", extra={"price": 3})

    with nothing_else_registered():
        carry(tenant)
        in_a_job(write, request_id="r-1", tenant="acme", traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-01")
    log.info(Event.JOB_LOST)
    ours, theirs, outside = lines_of(stream)
    facts = JOB | {"request_id": "r-1", "tenant": "acme", "trace_id": TRACE_ID}
    assert {name: ours.get(name) for name in facts} == facts
    assert {name: theirs.get(name) for name in facts} == facts
    assert (ours["cause"], theirs["price"], theirs["event"]) == ("x", 3, "sold it")
    assert list(ours)[4:7] == list(theirs)[4:7] == ["task", "job_id", "attempt"]
    assert set(outside) == {"time", "level", "event", "logger"}


def test_a_fact_of_the_line_itself_goes_before_that_of_the_job():
    stream = io.StringIO()
    configure_logs("INFO", "json", stream)

    def write() -> None:
        log.info(Event.JOB_LOST, job_id="another")
        logging.getLogger("shop").warning("x", extra={"job_id": "another"})

    in_a_job(write)
    assert [line["job_id"] for line in lines_of(stream)] == ["another", "another"]


def test_a_program_that_keeps_its_own_handlers_has_the_facts_on_our_records(caplog):
    in_a_job(lambda: log.warning(Event.JOB_LOST), request_id="r-1")
    [record] = caplog.records
    assert (record.job_id, record.task, record.attempt, record.request_id) == ("job-1", "email:send", 2, "r-1")


def test_lines_of_structlog_as_it_comes_say_the_job_too(capsys):
    configure_logs("INFO", "json", io.StringIO())
    in_a_job(lambda: structlog.get_logger().info("sold", price=3))
    out, _ = capsys.readouterr()
    assert re.search(r"sold .*job_id.*=.*job-1.*price", out)


def test_structlog_stays_as_the_program_configured_it(capsys):
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    configure_logs("INFO", "json", io.StringIO())
    in_a_job(lambda: structlog.get_logger().info("sold"))
    structlog.configure(processors=[add_job_facts, structlog.processors.JSONRenderer()])
    in_a_job(lambda: structlog.get_logger().info("sold"))
    without, with_facts = map(json.loads, capsys.readouterr().out.splitlines())
    assert without == {"event": "sold"}
    assert with_facts == JOB | {"event": "sold"}
