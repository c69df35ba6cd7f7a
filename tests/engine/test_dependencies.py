from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Context, Opened, dependency
from jobsd.engine.dependencies import Dependencies
from jobsd.errors import DependencyError
from jobsd.hooks import overridden
from jobsd.store.jobs import Lease
from tests.engine.hall import said
from tests.registered import nothing_else_registered
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NO_JOBS: Any = None
LEASE = Lease("default", "job-1", "mark", 0, 0, 1, b"", None, 0)


@pytest.fixture(autouse=True)
def _own_dependencies() -> Iterator[None]:
    with nothing_else_registered():
        yield


@asynccontextmanager
async def opened(**limits: float) -> AsyncIterator[Dependencies]:
    dependencies = Dependencies(**limits)
    await dependencies.open()
    try:
        yield dependencies
    finally:
        await dependencies.close()


def is_open(dependencies: Dependencies, one: Any) -> bool:
    try:
        dependencies.use(one)
    except DependencyError:
        return False
    return True


async def test_they_open_in_the_order_of_definition_and_close_in_reverse():
    order: list[str] = []

    @dependency
    async def pool() -> AsyncIterator[str]:
        order.append("open pool")
        yield "a pool"
        order.append("close pool")

    @dependency
    async def catalog(opened: Opened) -> AsyncIterator[str]:
        order.append("open catalog")
        yield f"a catalog in {opened.use(pool)}"
        order.append("close catalog")

    async with opened() as dependencies:
        assert dependencies.use(pool) == "a pool"
        assert dependencies.use(catalog) == "a catalog in a pool"
        assert Context({}, NO_JOBS, LEASE, "add", 0, dependencies=dependencies).use(pool) == "a pool"
    assert order == ["open pool", "open catalog", "close catalog", "close pool"]
    with pytest.raises(DependencyError, match="pool is not open: it is closed, with its worker"):
        dependencies.use(pool)


async def test_each_is_closed_in_the_task_in_which_it_was_opened():
    tasks: list[Any] = []

    @dependency
    async def scoped() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup():  # refuses to be left in another task
            yield None
        tasks.append(asyncio.current_task())

    dependencies = Dependencies()
    await asyncio.create_task(dependencies.open())
    await asyncio.create_task(dependencies.close())
    assert tasks[0] is tasks[1]
    assert tasks[0].done()


async def test_one_that_fails_stops_nobody_and_is_tried_until_it_opens(caplog):
    tries = 0

    @dependency
    async def flaky() -> AsyncIterator[str]:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConnectionError("refused")
        yield "there"

    @dependency
    async def on_top(opened: Opened) -> AsyncIterator[str]:
        yield f"{opened.use(flaky)} too"

    @dependency
    async def other() -> AsyncIterator[str]:
        yield "well"

    caplog.set_level("INFO")
    dependencies = Dependencies()
    await dependencies.open()
    assert dependencies.use(other) == "well"
    with pytest.raises(DependencyError, match="flaky is not open: ConnectionError: refused") as failed:
        dependencies.use(flaky)
    assert failed.value.dependency == flaky.name
    with pytest.raises(DependencyError, match=r"on_top is not open: DependencyError: dependency .*flaky is not open"):
        dependencies.use(on_top)
    await until(lambda: is_open(dependencies, on_top))
    assert dependencies.use(on_top) == "there too"
    await dependencies.close()
    failures = said(caplog, "dependency.failed")
    assert [record.dependency for record in failures] == [flaky.name, on_top.name]
    assert failures[0].cause == "ConnectionError: refused"
    assert [record.failures for record in said(caplog, "dependency.opened")] == [3, 3]


async def test_one_that_takes_too_long_to_open_is_given_up_and_tried_again(caplog):
    left: list[str] = []

    @dependency
    async def slow() -> AsyncIterator[str]:
        try:
            if not left:
                await asyncio.Event().wait()
        finally:
            left.append("left")
        yield "there"

    async with opened(limit_s=0.05) as dependencies:
        assert left == ["left"]
        await until(lambda: is_open(dependencies, slow))
    assert [record.cause for record in said(caplog, "dependency.failed")] == ["it did not open within 0.05 s"]


@pytest.mark.parametrize("resists", [False, True])
async def test_one_that_takes_too_long_to_close_does_not_hold_up_the_end(caplog, resists, monkeypatch):
    monkeypatch.setattr("jobsd.engine.dependencies._ENDED_WITHIN_S", 0.05)
    let_go, closed = asyncio.Event(), asyncio.Event()

    @dependency
    async def first() -> AsyncIterator[str]:
        yield "there"
        closed.set()

    @dependency
    async def clinging() -> AsyncIterator[str]:
        yield "there"
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            if resists:
                await let_go.wait()
            raise

    async with opened(limit_s=0.05):
        pass
    assert closed.is_set()
    [line] = said(caplog, "dependency.unclosed")
    assert (line.dependency, line.cause) == (clinging.name, "it did not close within 0.05 s")
    if resists:
        let_go.set()
    await until(lambda: len(asyncio.all_tasks()) == 1, 5)


async def test_an_error_on_closing_is_said_and_the_others_are_closed(caplog):
    closed = asyncio.Event()

    @dependency
    async def first() -> AsyncIterator[str]:
        yield "there"
        closed.set()

    @dependency
    async def sour() -> AsyncIterator[str]:
        yield "there"
        raise RuntimeError("not so")

    async with opened():
        pass
    assert closed.is_set()
    assert [line.cause for line in said(caplog, "dependency.unclosed")] == ["RuntimeError: not so"]


async def test_one_that_yields_nothing_or_twice_is_told_so(caplog):
    @dependency
    async def nothing() -> AsyncIterator[str]:
        if nothing is None:
            yield ""

    @dependency
    async def twice() -> AsyncIterator[str]:
        yield "one"
        yield "two"

    async with opened() as dependencies:
        with pytest.raises(DependencyError, match=r"nothing is not open: HookError: hook .*: it ended without a yield"):
            dependencies.use(nothing)
        assert dependencies.use(twice) == "one"
    assert "it yielded twice" in said(caplog, "dependency.unclosed")[0].cause


async def test_what_stands_in_is_used_and_the_dependency_not_opened():
    tries: list[str] = []

    @dependency
    async def real() -> AsyncIterator[str]:
        tries.append("opened")
        yield "the real one"

    with overridden(real, "a stand-in"):
        async with opened() as dependencies:
            assert dependencies.use(real) == "a stand-in"
        assert Context({}, NO_JOBS, LEASE, "add", 0).use(real) == "a stand-in"
    assert tries == []
    with pytest.raises(DependencyError, match="real is not open: this context is not of a worker"):
        Context({}, NO_JOBS, LEASE, "add", 0).use(real)


async def test_one_that_is_defined_when_the_worker_runs_already_is_told_so():
    async with opened() as dependencies:

        @dependency
        async def late() -> AsyncIterator[str]:
            yield "late"

        with pytest.raises(DependencyError, match="late is not open: it was defined when this worker process had"):
            dependencies.use(late)


async def test_closing_while_one_is_still_being_tried_ends_the_tries():
    tries = 0

    @dependency
    async def never() -> AsyncIterator[str]:
        nonlocal tries
        tries += 1
        if tries > 1:
            await asyncio.Event().wait()
        raise ConnectionError("refused")
        yield ""

    dependencies = Dependencies()
    await dependencies.open()
    await until(lambda: tries == 2)
    async with asyncio.timeout(5):
        await dependencies.close()
    assert len(asyncio.all_tasks()) == 1
