from __future__ import annotations

import contextvars
import json
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, context, propagate
from opentelemetry.sdk.trace import TracerProvider

from jobsd import carry, headers, request_id, traceparent, tracestate
from jobsd.errors import EnqueueError, HeadersTooLargeError, HookDefinitionError, UnserializableHeaderError
from jobsd.headers import LIMIT_BYTES, collect, facts, restore
from tests.registered import nothing_else_registered

if TYPE_CHECKING:
    from collections.abc import Iterator

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
tenant: ContextVar[Any] = ContextVar("tenant")


@pytest.fixture(autouse=True)
def _own_context(monkeypatch) -> Iterator[None]:
    """A context without OpenTelemetry, and in which nothing is set when the test ends."""
    monkeypatch.delitem(sys.modules, "opentelemetry.propagate", raising=False)
    tokens = [(variable, variable.set(None)) for variable in (request_id, traceparent, tracestate, tenant)]  # type: ignore[arg-type]
    with nothing_else_registered():
        yield
    for variable, token in tokens:
        variable.reset(token)


def test_nothing_is_carried_unless_something_is_set():
    carry(tenant)
    assert collect() == {}


def test_what_is_set_where_a_job_is_enqueued_is_set_where_it_runs():
    carry(tenant)
    tenant.set({"name": "acme", "plan": ["gold", 3]})
    request_id.set("r-1")
    traceparent.set(PARENT)
    tracestate.set("vendor=1")
    collected = json.loads(json.dumps(collect()))
    assert collected == {
        "request_id": "r-1",
        "tenant": {"name": "acme", "plan": ["gold", 3]},
        "traceparent": PARENT,
        "tracestate": "vendor=1",
    }

    def in_the_job() -> list[Any]:
        restore(collected)
        assert collect() == collected  # its own jobs carry on
        return [tenant.get(), request_id.get(), traceparent.get(), tracestate.get()]

    found = contextvars.Context().run(in_the_job)
    assert found == [{"name": "acme", "plan": ["gold", 3]}, "r-1", PARENT, "vendor=1"]


def test_a_variable_may_travel_under_another_name_also_for_the_request_id():
    theirs: ContextVar[str] = ContextVar("correlation_id")
    carry(theirs, name="request_id")
    theirs.set("c-7")
    assert collect() == {"request_id": "c-7"}

    def in_the_job() -> str:
        restore({"request_id": "c-8"})
        return theirs.get()

    assert contextvars.Context().run(in_the_job) == "c-8"


@pytest.mark.parametrize("name", ["job_id", "task", "trace_id"])
def test_a_name_that_log_lines_have_already_is_refused(name):
    with pytest.raises(HookDefinitionError, match="have a fact of this name already; carry it under another"):
        carry(ContextVar(name))


def test_what_is_no_context_variable_is_refused():
    with pytest.raises(HookDefinitionError, match=r"carry\('tenant'\): it takes a contextvars.ContextVar"):
        carry("tenant")


@pytest.mark.parametrize("name", ["", "two words", "x" * 65, "traceparent", "baggage", "é"])
def test_a_name_under_which_nothing_can_travel_is_refused(name):
    with pytest.raises(
        HookDefinitionError, match=r"carry\(.*\): a name has 1 to 64 of A-Z a-z 0-9 _ \. -, and is none"
    ):
        carry(tenant, name=name)


def test_what_is_given_goes_before_what_is_carried():
    request_id.set("r-1")
    assert collect({"request_id": "r-2", "more": 1}) == {"request_id": "r-2", "more": 1}


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "x",
        PARENT.upper(),
        PARENT + "-00",
        PARENT + "\n",
        "01" + PARENT[2:],
        "ff" + PARENT[2:],
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        7,
    ],
)
def test_a_malformed_traceparent_is_left_out_here_and_there(malformed):
    traceparent.set(malformed)
    tracestate.set("vendor=1")
    assert collect() == {}

    def in_the_job() -> object:
        restore({"traceparent": malformed, "tracestate": "vendor=1"})
        return traceparent.get(None), tracestate.get(None), facts()

    assert contextvars.Context().run(in_the_job) == (None, None, {})


def test_a_tracestate_of_nothing_is_left_out():
    tracestate.set("vendor=1")
    assert collect() == {}


def test_headers_over_the_limit_are_refused_with_their_size_and_the_largest():
    with pytest.raises(HeadersTooLargeError) as refused:
        collect({"small": 1, "large": "x" * LIMIT_BYTES}, task="add")
    error = refused.value
    assert isinstance(error, EnqueueError)
    assert error.size_bytes == len(json.dumps({"small": 1, "large": "x" * LIMIT_BYTES}, separators=(",", ":")))
    assert f"headers of 'add' are {error.size_bytes:,} bytes of JSON; the limit is 8,192" in str(error)
    assert "(the largest is 'large' with 8,201)" in str(error)


def test_the_limit_itself_is_allowed_and_bytes_are_counted_not_letters():
    room = LIMIT_BYTES - len('{"x":""}')
    assert collect({"x": "y" * room})
    with pytest.raises(HeadersTooLargeError):
        collect({"x": "y" * (room + 1)})
    with pytest.raises(HeadersTooLargeError):
        collect({"x": "é" * (room // 2 + 1)})


@pytest.mark.parametrize(("value", "kind"), [(object(), "object"), (float("nan"), "float"), ("\ud800", "str")])
def test_what_has_no_json_form_is_refused_by_the_name_under_which_it_was_to_travel(value, kind):
    carry(tenant, name="acme")
    tenant.set(value)
    with pytest.raises(
        UnserializableHeaderError, match=f"header 'acme' of 'add' has no JSON form: .*{kind}"
    ) as refused:
        collect(task="add")
    assert (refused.value.header, refused.value.type_name) == ("acme", kind)


def test_what_contains_itself_is_refused():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnserializableHeaderError, match="header 'x'"):
        collect({"x": endless})


@pytest.mark.parametrize("odd", [{"request_id": 7}, {"traceparent": [PARENT]}, {"tracestate": {}}, {"": None}])
def test_odd_headers_off_the_wire_are_passed_over(odd):
    def in_the_job() -> object:
        restore(odd)
        return request_id.get(None), traceparent.get(None), facts()

    assert contextvars.Context().run(in_the_job) == (None, None, {})


def test_log_lines_have_what_is_carried_and_the_id_of_the_trace():
    carry(tenant)

    def in_the_job() -> dict[str, Any]:
        restore({"request_id": "r-1", "tenant": "acme", "traceparent": PARENT, "unknown": 1})
        return facts()

    assert contextvars.Context().run(in_the_job) == {
        "request_id": "r-1",
        "tenant": "acme",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


@pytest.fixture
def with_opentelemetry(monkeypatch, _own_context) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", propagate)


def test_the_span_that_enqueues_is_the_parent_of_a_span_in_the_job(with_opentelemetry):
    tracer = TracerProvider().get_tracer("shop")
    token = context.attach(baggage.set_baggage("plan", "gold"))
    with tracer.start_as_current_span("request") as request:
        collected = json.loads(json.dumps(collect()))
    context.detach(token)
    trace_id = f"{request.get_span_context().trace_id:032x}"
    assert collected["traceparent"].split("-")[1] == trace_id
    assert collected["baggage"] == "plan=gold"

    def in_the_job() -> None:
        restore(collected)
        assert facts() == {"trace_id": trace_id}
        assert collect()["traceparent"] == collected["traceparent"]  # a job of the job's, without a span of its own
        with tracer.start_as_current_span("job") as job:
            assert job.parent is not None
            assert job.parent.span_id == request.get_span_context().span_id
            assert job.get_span_context().trace_id == request.get_span_context().trace_id
            assert baggage.get_baggage("plan") == "gold"
            # and with one
            assert collect()["traceparent"].split("-")[2] == f"{job.get_span_context().span_id:016x}"

    contextvars.Context().run(in_the_job)


def test_without_a_span_our_own_variable_is_used_also_where_opentelemetry_is_loaded(with_opentelemetry):
    traceparent.set(PARENT)
    assert collect() == {"traceparent": PARENT}


def test_tracing_that_fails_or_says_too_much_keeps_no_job_from_being_stored_or_run(with_opentelemetry, monkeypatch):
    traceparent.set(PARENT)

    def says_too_much(carrier):
        carrier["baggage"] = "x" * 5000
        carrier["b3"] = "1"

    def fails(*_):
        raise RuntimeError("no tracing today")

    monkeypatch.setattr(propagate, "inject", says_too_much)
    assert collect() == {"b3": "1", "traceparent": PARENT}
    monkeypatch.setattr(propagate, "inject", fails)
    monkeypatch.setattr(propagate, "extract", fails)
    assert collect() == {"traceparent": PARENT}
    contextvars.Context().run(restore, {"traceparent": PARENT})


def test_the_names_that_are_carried_from_the_start_are_few():
    assert list(headers._carried) == ["request_id"]
