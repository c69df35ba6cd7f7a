from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from arq.jobs import deserialize_job, deserialize_result
from hypothesis import given, settings
from hypothesis import strategies as st

from jobsd.errors import EnqueueError, PayloadTooLargeError, UnserializableError
from jobsd.store.codec import (
    PAYLOAD_START,
    Payload,
    UndecodableError,
    decode_payload,
    decode_result,
    encode_payload,
    encode_result,
    payload_of,
)

USUAL: dict[str, Any] = {
    "incarnation": "0123456789ab",
    "task": "email:send",
    "args": ("a@example.com",),
    "kwargs": {"subject": "Hi"},
    "enqueued_at": 1_800_000_000_000,
    "options": {},
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def a_payload(**facts: Any) -> bytes:
    return encode_payload(**USUAL | facts)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@settings(database=None, deadline=None)
@given(st.lists(JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4), st.dictionaries(st.text(), JSON))
def test_a_payload_is_read_as_it_was_written(args, kwargs, options):
    payload = decode_payload(a_payload(args=tuple(args), kwargs=kwargs, options=options))
    assert payload == Payload("email:send", tuple(args), kwargs, 1_800_000_000_000, "0123456789ab", options)


@settings(database=None, deadline=None)
@given(JSON)
def test_a_result_is_read_as_it_was_written(value):
    result = decode_result(a_result(success=True, value=value))
    assert result[:4] == (True, value, "", None)
    assert (result.attempt, result.finished_at) == (2, 1_800_000_000_300)


def a_result(*, success: bool, value: Any) -> bytes:
    return encode_result(
        Payload(**USUAL),
        attempt=2,
        success=success,
        value=value,
        started_at=1_800_000_000_100,
        finished_at=1_800_000_000_300,
        queue="default",
        job_id="job-1",
    )


@pytest.mark.parametrize("stored", [a_payload(), a_result(success=True, value=None)])
def test_payload_and_result_begin_with_the_incarnation_where_the_scripts_look_for_it(stored):
    assert stored[:19] == PAYLOAD_START + b'"0123456789ab"'


def test_options_are_written_only_when_there_are_some():
    assert "o" not in json.loads(a_payload())
    assert json.loads(a_payload(options={"r": 3}))["o"] == {"r": 3}


def test_headers_are_written_only_when_there_are_some_and_read_as_they_were_written():
    assert "h" not in json.loads(a_payload(headers={}))
    payload = a_payload(headers={"request_id": "r-1"}, options={"r": 3})
    assert payload.endswith(b',"o":{"r":3},"h":{"request_id":"r-1"}}')
    assert decode_payload(payload).headers == {"request_id": "r-1"}
    assert decode_payload(a_payload()).headers == {}


@pytest.mark.parametrize("odd", [b"[1]", b'"x"', b"7", b"null", b"{}"])
def test_headers_that_are_none_are_passed_over(odd):
    assert decode_payload(b'{"f":"x","a":[],"k":{},"et":1,"h":' + odd + b"}").headers == {}


def test_what_limits_a_job_stands_behind_its_incarnation_where_the_scripts_look_for_it():
    assert a_payload(limits="k=acme,r=stripe").startswith(b'{"i":"0123456789ab","l":"k=acme,r=stripe","t":null,')
    assert "l" not in json.loads(a_payload())


def test_arguments_that_are_to_grow_stand_at_the_end_where_the_scripts_append_to_them():
    payload = a_payload(args=([1, 2],), kwargs={}, options={"r": 3}, limits="o=00", args_last=True)
    assert payload.endswith(b',"o":{"r":3},"a":[[1,2]]}')
    assert decode_payload(payload)[:4] == ("email:send", ([1, 2],), {}, 1_800_000_000_000)


def test_arq_reads_our_payload():
    job = deserialize_job(a_payload(options={"r": 3}, limits="k=acme", headers={"x": 1}), deserializer=json.loads)
    assert (job.function, list(job.args), job.kwargs, job.job_try) == (
        "email:send",
        ["a@example.com"],
        {"subject": "Hi"},
        None,
    )
    assert job.enqueue_time.timestamp() == 1_800_000_000


def test_arq_reads_our_result():
    result = deserialize_result(a_result(success=True, value={"sent": 1}), deserializer=json.loads)
    assert (result.success, result.result, result.job_try, result.queue_name) == (True, {"sent": 1}, 2, "default")
    assert (result.finish_time - result.start_time).total_seconds() == 0.2


def test_a_payload_of_an_arq_client_has_its_time_for_an_incarnation():
    job = {"t": None, "f": "email:send", "a": ["x"], "k": {}, "et": 1_800_000_000_000}
    assert payload_of(job) == Payload("email:send", ("x",), {}, 1_800_000_000_000, "1800000000000", {})


def test_a_failure_is_read_with_its_message_and_its_type():
    stored = a_result(success=False, value={"type": "ValueError", "message": "no"})
    assert decode_result(stored)[:4] == (False, None, "no", "ValueError")


@pytest.mark.parametrize("stored", [pickle.dumps({"s": True, "r": 1}), b"[]", b"{}", b"\xff"])
def test_a_result_that_is_not_ours_is_a_failure_to_read(stored):
    assert decode_result(stored)[:4] == (False, None, "its result is not JSON", None)


@pytest.mark.parametrize(
    ("facts", "argument", "type_name"),
    [
        ({"args": (1, object())}, "2", "object"),
        ({"kwargs": {"a": 1, "body": {"deep": [object()]}}}, "'body'", "dict"),
        ({"args": ("lone \ud800 surrogate",)}, "1", "str"),
        ({"args": (b"\xff",)}, "1", "bytes"),
    ],
)
def test_an_argument_without_a_json_form_is_refused_by_name(facts, argument, type_name):
    with pytest.raises(UnserializableError, match=f"argument {argument} of 'email:send'") as refused:
        a_payload(**facts)
    assert (refused.value.task, refused.value.argument, refused.value.type_name) == ("email:send", argument, type_name)
    assert isinstance(refused.value, EnqueueError)


def test_an_argument_that_contains_itself_is_refused_by_name():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnserializableError, match="argument 'body'"):
        a_payload(kwargs={"body": endless})


def test_a_payload_over_the_limit_is_refused_with_its_size_and_its_largest_argument():
    with pytest.raises(PayloadTooLargeError) as refused:
        a_payload(args=("x" * 100,), kwargs={"body": "y" * 500}, limit_bytes=600)
    error = refused.value
    assert (error.task, error.limit_bytes, error.argument) == ("email:send", 600, "'body'")
    size = len(a_payload(args=("x" * 100,), kwargs={"body": "y" * 500}))
    assert error.size_bytes == size > 600
    assert f"are {size:,} bytes of JSON; the limit is 600 (the largest is 'body' with 502)" in str(error)


def test_the_limit_itself_is_allowed():
    size = len(a_payload())
    assert a_payload(limit_bytes=size)
    with pytest.raises(PayloadTooLargeError):
        a_payload(limit_bytes=size - 1)


def test_the_usual_limit_is_a_mebibyte():
    assert a_payload(args=("x" * (1024 * 1024 - 200),))
    with pytest.raises(PayloadTooLargeError, match="the limit is 1,048,576"):
        a_payload(args=("x" * 1024 * 1024,))


def test_a_payload_that_is_gone_is_said_to_be_gone():
    with pytest.raises(UndecodableError, match="the payload is gone"):
        decode_payload(None)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\x80\x04\xff",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"f":1,"a":[],"k":{},"et":1}',
        b'{"f":"x","a":{},"k":{},"et":1}',
        b'{"f":"x","a":[],"k":[],"et":1}',
        b'{"f":"x","a":[],"k":{},"et":null}',
        b'{"f":"x","a":[],"k":{},"et":"soon"}',
        b'{"f":"x","a":[],"k":{},"et":NaN}',
        b'{"f":"x","a":[],"k":{},"et":1e999}',
        b'{"f":"x","a":[],"k":{},"et":1e18}',
        b'{"f":"x","a":[],"k":{},"et":-1}',
        b'{"f":"x","a":[],"k":{},"et":1,"o":[1]}',
    ],
)
def test_what_is_no_payload_is_said_to_be_none(stored):
    with pytest.raises(UndecodableError, match="cannot be read"):
        decode_payload(stored)


@pytest.mark.parametrize("depth", [190, 200, 250])
def test_arguments_as_deep_as_can_be_written_can_be_read(depth):
    value = nested(depth)
    assert decode_payload(a_payload(args=(value,))).args == (value,)


def test_arguments_nested_deeper_than_that_are_refused():
    with pytest.raises(UnserializableError):
        a_payload(args=(nested(300),))
