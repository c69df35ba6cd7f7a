from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from jobsd.engine.texts import TRACE_LIMIT, trace_of
from jobsd.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.11/site-packages/jobsd/engine/runner.py", line 91, in run
    result = await self._caller.call(task, attempt.lease, payload, args, kwargs)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/tasks/mail.py", line 12, in send
    client.post(url)
  File "/srv/venv/lib/python3.11/site-packages/httpx/_client.py", line 1144, in post
    return self.request()
           ^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/ssl.py", line 5, in do_handshake
    self._sslobj.do_handshake()
httpx.ConnectError: [Errno 111] at 0x7f2a
"""
NEW = """Traceback (most recent call last):
  File "/home/ci/.venv/lib/python3.13/site-packages/jobsd/engine/calling.py", line 5, in call
    return await task.function(ctx)
  File "/builds/7/tasks/mail.py", line 40, in send
    client.post(url)
    ~~~~~~~~~~~^^^^^
  File "/home/ci/.venv/lib/python3.13/site-packages/httpx/_client.py", line 1145, in post
    return self.request()
  File "/home/ci/python/lib/python3.13/ssl.py", line 500, in _do_handshake
    self._sslobj.do_handshake()
    ~~~~~~~~~~~~~~~~~~~~~~~~~^^
httpx.ConnectError: [Errno 112] at 0x7f2b
"""


def of_trace(trace: str, kind: str = "ConnectError") -> str:
    return fingerprint(kind, trace, "whatever")


def of(raises: Callable[[], object]) -> str:
    try:
        raises()
    except Exception as error:  # noqa: BLE001 - each test's own
        return fingerprint(type(error).__name__, trace_of(error), str(error))
    raise AssertionError


def test_it_is_sixteen_hex_digits() -> None:
    for found in (of_trace(OLD), fingerprint("ValueError", None, None), fingerprint("", "", "")):
        assert re.fullmatch("[0-9a-f]{16}", found)


def test_other_lines_places_of_installation_and_pythons_make_no_difference() -> None:
    assert of_trace(OLD) == of_trace(NEW)


@pytest.mark.parametrize(
    ("here", "there"),
    [("in send", "in send_again"), ("tasks/mail.py", "tasks/post.py"), ("in post", "in put")],
)
def test_another_function_is_another_place(here: str, there: str) -> None:
    assert of_trace(OLD) != of_trace(OLD.replace(here, there))


def test_another_error_at_the_same_place_is_another_failure() -> None:
    assert of_trace(OLD) != of_trace(OLD, "ReadError")


def test_the_library_counts_where_there_is_nothing_else() -> None:
    trace = (
        'Traceback (most recent call last):\n  File "/usr/lib/python3.11/json/decoder.py", line 5, in {}\nKeyError: 1\n'
    )
    assert of_trace(trace.format("decode")) != of_trace(trace.format("raw_decode"))


def down(depth: int) -> None:
    if depth:
        down(depth - 1)
    raise KeyError(depth)


def even(depth: int) -> None:
    odd(depth - 1) if depth else fail()


def odd(depth: int) -> None:
    even(depth - 1) if depth else fail()


def fail() -> None:
    raise KeyError


def test_the_depth_of_a_recursion_makes_no_difference() -> None:
    assert of(lambda: down(2)) == of(lambda: down(90))
    assert of(lambda: even(4)) == of(lambda: even(40))


def test_a_trace_that_was_cut_at_its_beginning_is_read_from_there() -> None:
    frame = '  File "/srv/app/tasks/mail.py", line 5, in send\n    x\n'
    cut = "… (cut)\n" + ("Traceback (most recent call last):\n" + 500 * frame + "KeyError: 1\n")[-TRACE_LIMIT:]
    assert of_trace(cut) == of_trace("Traceback (most recent call last):\n" + frame + "KeyError: 1\n")


def wraps(kind: type[Exception], *, direct: bool) -> None:
    try:
        raise kind  # noqa: TRY301 - the point
    except Exception as error:
        if direct:
            raise RuntimeError from error
        raise RuntimeError  # noqa: B904 - the point


def test_the_exception_raised_last_decides_with_the_type_of_its_cause() -> None:
    assert of(lambda: wraps(KeyError, direct=True)) != of(lambda: wraps(ValueError, direct=True))
    assert of(lambda: wraps(KeyError, direct=False)) == of(lambda: wraps(ValueError, direct=False))


def in_group(*kinds: type[Exception]) -> None:
    async def fails(kind: type[Exception]) -> None:
        raise kind(len(kinds))

    async def gathers() -> None:
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                group.create_task(fails(kind))

    asyncio.run(gathers())


def test_of_a_group_the_kinds_of_its_members_count_and_not_their_number() -> None:
    assert of(lambda: in_group(KeyError)) == of(lambda: in_group(KeyError, KeyError, KeyError))
    assert of(lambda: in_group(KeyError, ValueError)) == of(lambda: in_group(ValueError, KeyError, ValueError))
    assert of(lambda: in_group(KeyError)) != of(lambda: in_group(ValueError))


def in_nested_group(kind: type[Exception]) -> None:
    raise ExceptionGroup("a", [ExceptionGroup("b", [kind(1)]), OSError(2)])


def test_members_of_a_groups_members_count_too() -> None:
    assert of(lambda: in_nested_group(KeyError)) != of(lambda: in_nested_group(ValueError))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 17 of 1,204.50", "order 9 of 3"),
        ("no file 'a b.txt'", "no file 'c.txt'"),
        ('key "x" is gone', 'key "why" is gone'),
        ("job 0af76519-16cd-43dd-8448-eb211c80319c is gone", "job 1bf76519-16cd-43dd-8448-eb211c80319d is gone"),
        ("<Client at 0x7f2a00>", "<Client at 0x7f2bff>"),
        ("commit 9f8c2d1e4b is missing", "commit 0a1b2c3d4e5f is missing"),
    ],
)
def test_without_a_trace_the_message_decides_less_what_varies(one: str, other: str) -> None:
    assert fingerprint("LostError", None, one) == fingerprint("LostError", None, other)


def test_messages_that_say_something_else_are_told_apart() -> None:
    assert fingerprint("LostError", None, "it can't open") != fingerprint("LostError", None, "it can't close")
    assert fingerprint("LostError", None, "decade facade") != fingerprint("LostError", None, "faded cabbage")
