"""What the ledger shows of jobs of arq's clients, whose arguments nobody checks."""

from __future__ import annotations

from typing import Any

from arq import func
from pydantic import SecretStr

from jobsd.redaction import REDACTED
from jobsd.store.keys import records_key
from tests.engine.hall import read_execution

HIDDEN = "hunter2"


class Client:
    """No JSON, and a text that tells too much."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return f"Client(token={self.token!r})"


async def login(ctx: Any, user: str, password: str, *more: Any) -> Any:
    return more


async def plain(ctx: Any, n: int) -> None: ...


async def told_of(office: Any, *functions: Any) -> list[Any]:
    worker = office.worker(*functions, burst=True)
    worker.records = True
    await worker.main()
    await worker.close()
    entries = await office.redis.xrange(records_key())
    values = [value for _, fields in entries for value in fields.values()]
    assert not any(b"hunter2" in value for value in values)
    return [read_execution(value) for value in values]


async def test_arguments_are_redacted_by_the_parameters_of_the_function(office) -> None:
    await office.jobs.enqueue_job("login", "ada", "hunter2", {"token": "hunter2"}, SecretStr("hunter2"))
    await office.jobs.enqueue_job("named", "ada", password=HIDDEN)
    told = await told_of(office, login, func(login, name="named"))
    one, other = sorted(told, key=lambda run: run.task)
    assert one.args == {"args": ["ada", REDACTED, {"token": REDACTED}, REDACTED], "kwargs": {}}
    assert one.result_data == [{"token": REDACTED}, REDACTED]
    assert other.args == {"args": ["ada"], "kwargs": {"password": REDACTED}}


async def test_arguments_are_looked_through_whatever_is_annotated(office) -> None:
    await office.jobs.enqueue_job("plain", {"token": "hunter2"})
    (run,) = await told_of(office, plain)
    assert run.args == {"args": [{"token": REDACTED}], "kwargs": {}}


async def test_what_has_no_json_form_is_withheld_where_its_text_mentions_a_secret(office) -> None:
    odd = {"a": "caf\udce9", "client": Client("hunter2"), "password": "hunter2"}
    await office.jobs.enqueue_job("login", "ada", "hunter2", odd)
    (run,) = await told_of(office, login)
    assert run.outcome == "succeeded"
    assert "its text mentions what is not shown" in str(run.args)


async def test_of_a_function_that_nobody_registered_arguments_are_left_out(office) -> None:
    await office.jobs.enqueue_job("unheard:of", "hunter2", n=1)
    (run,) = await told_of(office, login)
    withheld = {"withheld": "who wrote this record does not know the task, nor which fields it hides"}
    assert run.args == {"args": [withheld], "kwargs": withheld}
