from __future__ import annotations

import json
import pickle

import pytest
from pydantic import BaseModel, SecretStr
from pydantic_core import to_json

from jobsd.definition import Task
from jobsd.records.writing import Record, Rejected
from jobsd.redaction import REDACTED, Policies
from jobsd.relay.decoding import UNKNOWN_TASK, decode
from tests.records.ledger import NOON_MS, USUAL
from tests.relay.conveyor import LOST, a_lost_value, a_value


class Person(BaseModel):
    pin: str
    key: SecretStr


PAYLOAD = b'{"i":"x9","t":null,"f":"email:send","a":[1,"two"],"k":{"n":3},"et":1795348700000}'


async def send(ctx, n: int, what: str, password: str = "", to: Person | None = None) -> None: ...
async def rest(ctx, *every: int) -> None: ...


def policies(**options) -> Policies:
    return Policies({"email:send": Task(send, "email:send", **options), "big": Task(rest, "big")}, ["password", "pin"])


def decoded(value: bytes, of: Policies | None = None):
    found = decode(b"job-1", value, policies() if of is None else of)
    assert isinstance(found, Record), found
    assert found.raw == value.partition(b"\n")[0]
    return found.execution


def test_a_value_is_the_execution_it_was_made_from():
    assert decoded(a_value()) == USUAL


def test_fields_left_out_at_the_end_have_their_defaults():
    assert decoded(to_json(USUAL[:12])) == USUAL._replace(args=None, result_data=None)


def test_fields_that_a_newer_worker_adds_are_passed_over():
    assert decoded(to_json([*USUAL, "news"])) == USUAL


def test_a_lone_surrogate_in_json_stops_nothing():
    assert decoded(json.dumps(USUAL._replace(message="\ud800")).encode()).message == "\ud800"


def test_a_lost_run_is_told_by_its_facts_and_its_payload():
    assert decoded(a_lost_value(PAYLOAD)) == USUAL._replace(
        incarnation="x9",
        outcome="lost",
        transition="requeued",
        enqueued_at=1_795_348_700_000,
        finished_at=NOON_MS + 9000,
        message=LOST.message,
        args={"args": [1, "two"], "kwargs": {"n": 3}},
        result_data=None,
    )


@pytest.mark.parametrize(("said", "schedule"), [(b'"nightly"', "nightly"), (b"5", None), (b'"a b"', None)])
def test_a_lost_run_of_a_schedule_names_it(said, schedule):
    payload = PAYLOAD[:-1] + b',"o":{"s":' + said + b"}}"
    assert decoded(a_lost_value(payload)).schedule_id == schedule


@pytest.mark.parametrize("options", [b"5", b"null", b"[]"])
def test_a_lost_run_with_options_that_are_none_names_no_schedule(options):
    assert decoded(a_lost_value(PAYLOAD[:-1] + b',"o":' + options + b"}")).schedule_id is None


def test_the_incarnation_of_a_stock_client_is_the_instant_of_its_enqueue():
    assert decoded(a_lost_value(PAYLOAD.replace(b'"i":"x9",', b""))).incarnation == "1795348700000"


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x80\x04\n\x00", pickle.dumps({"f": "secret"}), b"[1,2]", b'{"f":7}', b'{"f":', b"[" * 100_000, b"null"],
    ids=["empty", "bytes", "pickle", "array", "no name", "cut", "deep", "null"],
)
def test_a_lost_run_of_an_unreadable_payload_is_recorded_without_it(payload):
    execution = decoded(a_lost_value(payload))
    assert (execution.task, execution.args, execution.incarnation) == (UNKNOWN_TASK, None, None)
    assert (execution.job_id, execution.outcome, execution.started_at) == ("job-1", "lost", NOON_MS)


@pytest.mark.parametrize("et", ["1e400", "-5", '"noon"', "null", "[]", "1" + "0" * 30])
def test_an_impossible_instant_of_enqueue_is_none(et):
    payload = PAYLOAD.replace(b"1795348700000", et.encode())
    assert decoded(a_lost_value(payload)).enqueued_at is None


def test_large_arguments_of_a_lost_run_are_cut_and_marked():
    payload = to_json({"i": "x", "t": None, "f": "big", "a": ["x" * 70_000], "k": {}, "et": 1})
    args = decoded(a_lost_value(payload)).args
    assert args["cut"] is True
    assert args["bytes"] == len(payload)
    assert args["head"].startswith('{"args":["xxx')


def test_a_job_called_lost_is_a_job_like_any_other():
    assert decoded(a_value(job_id="lost")) == USUAL._replace(job_id="lost")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"garbage",
        b"\xff\xfe\x00",
        b"{}",
        b"null",
        b'"text"',
        b"[]",
        b'["job-1"]',
        b"[" * 100_000,
        to_json(USUAL._replace(job_id=5)),
        to_json(USUAL._replace(attempt="1")),
        to_json(USUAL._replace(started_at=None)),
        b'["lost",1]\n{}',
        to_json(LOST._replace(attempt="many")) + b"\n{}",
        to_json(LOST._replace(attempt=1.5e999), inf_nan_mode="constants") + b"\n{}",
    ],
)
def test_what_is_no_record_is_rejected_with_its_bytes(value):
    found = decode(b"job\xff", value, policies())
    assert isinstance(found, Rejected)
    assert (found.job_id, found.raw) == ("job\\xff", value.partition(b"\n")[0])
    assert found.cause.startswith("cannot be decoded: ")


# --- what the ledger is not told ------------------------------------------------------------------


def a_payload(*args, task: str = "email:send", headers=None, **kwargs) -> bytes:
    return to_json({"i": "x9", "t": None, "f": task, "a": args, "k": kwargs, "et": 1, "h": headers or {}})


def test_the_arguments_of_a_lost_run_are_redacted_by_its_task():
    person = {"pin": "hunter2", "key": "hunter3", "n": 1}
    value = a_lost_value(a_payload(1, "hunter4", "hunter1", person))
    found = decoded(value, policies(redact=("what",)))
    assert found.args == {"args": [1, REDACTED, REDACTED, {"pin": REDACTED, "key": REDACTED, "n": 1}], "kwargs": {}}


def test_of_a_task_that_is_not_known_here_no_argument_is_told():
    """It may hide any of them: only who has its code knows."""
    found = decoded(a_lost_value(a_payload("hunter1", n=1, card="hunter2", task="no:body"))).args
    withheld = {"withheld": "who wrote this record does not know the task, nor which fields it hides"}
    assert found == {"args": [withheld], "kwargs": withheld}


@pytest.mark.parametrize("arguments", [{"a": "hunter1"}, {"a": {"password": "x"}}, {"k": ["hunter1"]}, {"a": None}])
def test_what_are_no_arguments_of_a_job_is_not_told(arguments):
    job = {"i": "x", "t": None, "f": "email:send", "a": [], "k": {}, "et": 1}
    assert decoded(a_lost_value(to_json(job | arguments))).args is None


def test_what_is_cut_was_redacted_before():
    found = decoded(a_lost_value(a_payload(1, "two", pin="hunter1", more="x" * 70_000))).args
    assert found["cut"] is True
    assert REDACTED in found["head"]
    assert "hunter1" not in found["head"]


def test_a_value_that_is_refused_is_kept_without_its_payload():
    found = decode(b"job-1", to_json(LOST._replace(attempt="many")) + b"\n" + a_payload("hunter1"), policies())
    assert isinstance(found, Rejected)
    assert b"hunter1" not in found.raw


@pytest.mark.parametrize(("record", "told"), [("all", True), ("failures", True), ("none", False)])
def test_a_task_may_leave_no_record_of_what_was_lost(record, told):
    found = decode(b"job-1", a_lost_value(PAYLOAD), policies(record=record))
    assert isinstance(found, Record) if told else found is None


@pytest.mark.parametrize("header", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "mine", 5, None])
def test_a_lost_run_has_the_trace_of_its_job(header):
    found = decoded(a_lost_value(a_payload(headers={"traceparent": header})))
    assert found.trace_id == ("0af7651916cd43dd8448eb211c80319c" if str(header).startswith("00-") else None)


@pytest.mark.parametrize("headers", [["x"], "x", 5, None])
def test_headers_that_are_none_stop_nothing(headers):
    payload = to_json({"i": "x", "t": None, "f": "email:send", "a": [], "k": {}, "et": 1, "h": headers})
    assert decoded(a_lost_value(payload)).trace_id is None


def test_secrets_are_hidden_where_the_caller_marked_them():
    pin, marks = {"a": ["hunter1"]}, {"x": ["a", 1, None, ["a"], {}]}
    job = {"i": "x", "t": None, "f": "email:send", "a": [1, "hunter2"], "k": {"to": pin}, "et": 1}
    found = decoded(a_lost_value(to_json(job | marks))).args
    assert found == {"args": [1, REDACTED], "kwargs": {"to": {"a": REDACTED}}}
    assert decoded(a_lost_value(to_json(job | {"x": 5}))).args["kwargs"] == {"to": pin}
