from __future__ import annotations

import json
import pickle

import pytest
from pydantic_core import to_json

from jobsd.records.writing import Record, Rejected
from jobsd.relay.decoding import UNKNOWN_TASK, decode
from tests.records.ledger import NOON_MS, USUAL
from tests.relay.conveyor import LOST, a_lost_value, a_value

PAYLOAD = b'{"i":"x9","t":null,"f":"email:send","a":[1,"two"],"k":{"n":3},"et":1795348700000}'


def decoded(value: bytes):
    found = decode(b"job-1", value)
    assert isinstance(found, Record), found
    assert found.raw == value
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
    assert args["head"].startswith('{"i":"x"')


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
    found = decode(b"job\xff", value)
    assert isinstance(found, Rejected)
    assert (found.job_id, found.raw) == ("job\\xff", value)
    assert found.cause.startswith("cannot be decoded: ")
