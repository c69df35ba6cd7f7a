"""What the ledger is told of a run, and what it is not: by the task, by the names of fields, by types."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any, NoReturn

import pytest
from pydantic import BaseModel, SecretStr
from pydantic_core import to_json

from jobsd import Context, Drop, Snooze, fixed, headers
from jobsd.engine.endings import RESULT_LIMIT
from jobsd.errors import JobFailedError
from jobsd.redaction import REDACTED
from jobsd.store.keys import records_key
from tests.engine.hall import BASE, a_task, said
from tests.engine.nursery import TASKS, setup_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CAFE = "hunter2"


class Card(BaseModel):
    number: SecretStr
    holder: str


async def stream_of(hall: Any) -> bytes:
    """Return all that the ledger could know."""
    entries = await hall.redis.xrange(records_key())
    return b"\n".join(value for _, fields in entries for value in fields.values())


# --- secrets reach whom they are for --------------------------------------------------------------


async def test_a_secret_argument_reaches_the_job_and_not_the_ledger(hall) -> None:
    seen: list[Any] = []

    async def takes(ctx: Context, key: SecretStr, card: Card, cards: list[Card]) -> None:
        seen.extend([key.get_secret_value(), card.number.get_secret_value(), cards[0].number.get_secret_value()])

    task = a_task(takes)
    takes.__annotations__ |= {"key": SecretStr, "card": Card, "cards": list[Card]}
    hall.open(task, records=True)
    card = Card(number=SecretStr("4111"), holder="Ada")
    await hall.result(await hall.client.enqueue(task, SecretStr(CAFE), card, cards=[card]))
    assert seen == [CAFE, "4111", "4111"]
    (run,) = await hall.executions(1)
    shown = {"number": REDACTED, "holder": "Ada"}
    assert run.args == {"args": [REDACTED, shown], "kwargs": {"cards": [shown]}}


async def test_a_secret_argument_reaches_a_task_by_name_too(hall) -> None:
    async def takes(ctx, what):
        return what

    hall.open(takes, records=True)
    secret = SecretStr(CAFE)
    assert await hall.result(await hall.client.enqueue("takes", {"key": [secret], "n": 1})) == {"key": [CAFE], "n": 1}
    assert await hall.result(await hall.client.enqueue("takes", [secret])) == [CAFE]
    runs = await hall.executions(2)
    assert [run.args["args"] for run in runs] == [[{"key": REDACTED, "n": 1}], [REDACTED]]
    assert runs[0].result_data == {"key": REDACTED, "n": 1}


async def test_calls_with_other_secrets_are_other_calls(hall) -> None:
    one, same, other = [
        await hall.client.enqueue("waits", {"key": SecretStr(key)}, _unique_for="1h") for key in ("a", "a", "b")
    ]
    assert (one.duplicate, same.duplicate, other.duplicate) == (False, True, False)


async def test_a_secret_result_reaches_the_caller_and_not_the_ledger(hall) -> None:
    async def bare(ctx) -> SecretStr:
        return SecretStr(CAFE)

    async def inside(ctx):
        return [Card(number=SecretStr(CAFE), holder="Ada"), {"token": CAFE, "key": SecretStr(CAFE), "n": 1}]

    hall.open(bare, inside, records=True)
    assert await hall.result(await hall.client.enqueue("bare")) == CAFE
    card = {"number": CAFE, "holder": "Ada"}
    assert await hall.result(await hall.client.enqueue("inside")) == [card, {"token": CAFE, "key": CAFE, "n": 1}]
    runs = {run.task: run.result_data for run in await hall.executions(2)}
    assert runs["bare"] == REDACTED
    assert runs["inside"] == [card | {"number": REDACTED}, {"token": REDACTED, "key": REDACTED, "n": 1}]


async def test_secrets_that_a_child_process_returns_are_redacted_too(hall, redis_url) -> None:
    hall.open(*TASKS, child=setup_of(redis_url), children=1, records=True)
    found = await hall.result(await hall.client.enqueue("child:secrets", SecretStr("cafe")))
    assert found == {"key": "cafe", "again": ["cafecafe"], "n": 1}
    (run,) = await hall.executions(1)
    assert run.result_data == {"key": REDACTED, "again": [REDACTED], "n": 1}
    assert run.args == {"args": [REDACTED], "kwargs": {}}


# --- what a task or the settings name -------------------------------------------------------------


async def test_arguments_and_results_are_redacted_by_the_names_of_task_and_settings(hall) -> None:
    async def pays(ctx, amount: int, card_number: str, more: dict[str, Any]) -> dict[str, Any]:
        return {"card-number": card_number, "more": [more]}

    hall.open(a_task(pays, redact=("card_number",)), records=True, redact=("pin",))
    found = await hall.result(await hall.client.enqueue("pays", 5, "4111", more={"PIN": 1, "password": "shown"}))
    assert found == {"card-number": "4111", "more": [{"PIN": 1, "password": "shown"}]}
    (run,) = await hall.executions(1)
    more = {"PIN": REDACTED, "password": "shown"}
    assert run.args == {"args": [5, REDACTED], "kwargs": {"more": more}}
    assert run.result_data == {"card-number": REDACTED, "more": [more]}


async def test_what_is_cut_was_redacted_before(hall) -> None:
    async def echoes(ctx, what: dict[str, Any]) -> dict[str, Any]:
        return what

    hall.open(echoes, records=True)
    await hall.result(await hall.client.enqueue("echoes", {"password": CAFE, "more": "x" * 70_000}))
    (run,) = await hall.executions(1)
    for told in (run.args, run.result_data):
        assert told["cut"] is True
        assert REDACTED in told["head"]
    assert CAFE.encode() not in await stream_of(hall)


async def test_a_result_kept_as_its_repr_is_withheld_where_that_mentions_a_secret(hall) -> None:
    class Odd:
        def __init__(self, **facts: str) -> None:
            self._facts = facts

        def __repr__(self) -> str:
            return f"<odd {self._facts}>"

    async def returns(ctx, what: str) -> Any:
        return {"odd": Odd(a="b"), "secret": Odd(token=CAFE), "large": {"token": CAFE, "x": "x" * RESULT_LIMIT}}[what]

    hall.open(returns, records=True)
    for what in ("odd", "secret", "large"):
        await hall.result(await hall.client.enqueue("returns", what=what))
    runs = {run.args["kwargs"]["what"]: run.result_data["repr"] for run in await hall.executions(3)}
    withheld = {"withheld": "its text mentions what is not shown"}
    assert runs == {"odd": "<odd {'a': 'b'}>", "secret": withheld, "large": withheld}


async def test_arguments_that_do_not_fit_are_looked_through_though_the_task_has_plain_ones(hall, caplog) -> None:
    async def plain(ctx, n: int) -> None: ...

    worker = hall.open(a_task(plain, redact=("pin",)), records=True)
    for args, kwargs in (([{"password": CAFE}], {}), ([1, CAFE], {}), ([1], {"token": CAFE})):
        with pytest.raises(JobFailedError) as failed:
            await hall.result(await hall.client.enqueue("plain", *args, **kwargs))
        assert CAFE not in str(failed.value)
    runs = await hall.executions(3)
    assert {run.error_type for run in runs} == {"InvalidArgumentsError"}
    assert CAFE.encode() not in await stream_of(hall)
    assert CAFE not in " ".join(str(record.__dict__) for record in caplog.records)
    assert worker.ended["A"] == 3


async def test_an_argument_that_does_not_fit_is_not_shown_where_its_field_is_secret(hall, caplog) -> None:
    async def checked(ctx, pin: int) -> None: ...

    hall.open(a_task(checked), records=True, redact=("pin",))
    reference = await hall.client.enqueue("checked", CAFE)
    with pytest.raises(
        JobFailedError,
        match=re.escape(
            "pin: input should be a valid integer, unable to parse string as an integer (its value is not shown)"
        ),
    ):
        await hall.result(reference)
    (run,) = await hall.executions(1)
    assert (
        run.message
        == "pin: input should be a valid integer, unable to parse string as an integer (its value is not shown)"
    )
    assert [record.cause for record in said(caplog, "job.archived")] == [run.message]
    archived = await hall.redis.hget(f"{BASE}:dead:{reference.id}", "info")
    assert archived is not None
    assert CAFE.encode() not in archived


# --- which runs -----------------------------------------------------------------------------------


async def ends(ctx, how: str) -> str:
    match how:
        case "snoozes" if ctx.attempt == 1:
            raise Snooze("0s")
        case "drops":
            raise Drop("enough")
        case "fails":
            raise ValueError("no")
    return how


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("all", ["dropped", "failed", "failed", "snoozed", "succeeded", "succeeded"]),
        ("failures", ["dropped", "failed", "failed", "snoozed"]),
        ("none", []),
    ],
)
async def test_a_task_says_which_of_its_runs_are_recorded(hall, record: Any, told: list[str]) -> None:
    async def other(ctx) -> None: ...

    worker = hall.open(a_task(ends, retries=1, backoff=fixed("0s"), record=record), other, records=True)
    for how in ("succeeds", "snoozes", "drops", "fails"):
        with suppress(Exception):
            await hall.result(await hall.client.enqueue("ends", how))
    await hall.result(await hall.client.enqueue("other"))
    runs = await hall.executions(len(told) + 1)
    assert sorted(run.outcome for run in runs if run.task == "ends") == told
    assert worker.ended.total() == 7


# --- its trace, and the fingerprint of its failure ------------------------------------------------


async def test_a_record_has_the_trace_of_its_job(hall) -> None:
    async def quick(ctx) -> None: ...

    hall.open(quick, records=True)
    await hall.result(await hall.client.enqueue("quick"))
    token = headers.traceparent.set(TRACE)
    try:
        await hall.result(await hall.client.enqueue("quick"))
    finally:
        headers.traceparent.reset(token)
    assert [run.trace_id for run in await hall.executions(2)] == [None, TRACE.split("-")[1]]


async def test_failures_of_one_place_have_one_fingerprint_and_other_ends_have_none(hall) -> None:
    def raise_it(n: int) -> NoReturn:
        raise ValueError(n)

    async def fails(ctx, n: int, *, elsewhere: bool = False) -> None:
        if elsewhere:
            raise ValueError
        raise_it(n)

    async def hangs(ctx) -> None:
        await asyncio.Event().wait()

    hall.open(a_task(fails, retries=0), a_task(hangs, retries=0, timeout="20ms"), a_task(ends, retries=0), records=True)
    jobs = [("fails", 1, False), ("fails", 2, False), ("fails", 3, True), ("hangs",), ("ends", "drops")]
    for name, *args in jobs:
        options = {"elsewhere": args.pop()} if len(args) == 2 else {}
        with suppress(Exception):
            await hall.result(await hall.client.enqueue(name, *args, **options))
    one, two, elsewhere, hung, dropped = [run.fingerprint for run in await hall.executions(5)]
    assert one == two != elsewhere
    assert re.fullmatch("[0-9a-f]{16}", hung)
    assert dropped is None
    assert not any(to_json("altered") in value for value in [await stream_of(hall)])
