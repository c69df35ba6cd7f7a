from __future__ import annotations

import asyncio
import functools
import types
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

import jobsd
from jobsd import JobRequest, around_enqueue, around_run, dependency, hooks
from jobsd.errors import ConfigurationError, HookDefinitionError, HookError
from jobsd.hooks import enqueue_through, overridden, run_through
from tests.registered import nothing_else_registered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CTX: Any = object()
REQUEST: JobRequest[Any] = JobRequest("add", (1,), {}, "default")


@pytest.fixture(autouse=True)
def _own_hooks() -> Iterator[None]:
    with nothing_else_registered():
        yield


async def store(request: JobRequest[Any]) -> Any:
    return ["stored", request]


async def test_without_hooks_the_call_itself_is_what_runs():
    async def call() -> int:
        return 3

    assert not hooks.run_hooks
    assert await run_through(CTX, call) == 3


async def test_the_hook_that_was_registered_first_is_the_outermost():
    said: list[str] = []

    @around_run
    async def outer(ctx, call_next):
        said.append("outer in")
        result = await call_next()
        said.append("outer out")
        return result + 1

    @around_run
    async def inner(ctx, call_next):
        said.append("inner in")
        result = await call_next()
        said.append("inner out")
        return result * 10

    async def call() -> int:
        said.append("task")
        return 2

    assert await run_through(CTX, call) == 21
    assert said == ["outer in", "inner in", "task", "inner out", "outer out"]


async def test_a_hook_that_does_not_call_on_skips_the_task_and_gives_the_result():
    @around_run
    async def cached(ctx, call_next):
        return "from the cache"

    async def call() -> str:
        raise AssertionError

    assert await run_through(CTX, call) == "from the cache"


async def test_an_error_of_the_task_goes_out_through_the_hooks():
    seen: list[BaseException] = []

    @around_run
    async def watching(ctx, call_next):
        try:
            return await call_next()
        except ValueError as error:
            seen.append(error)
            raise

    async def call() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run_through(CTX, call)
    assert len(seen) == 1


async def test_a_hook_that_runs_the_task_twice_is_told_so_with_its_name():
    ran: list[int] = []

    @around_run
    async def again(ctx, call_next):
        await call_next()
        return await call_next()

    async def call() -> None:
        ran.append(1)

    with pytest.raises(HookError, match=r"again: it called call_next twice: a run of a job runs its task once"):
        await run_through(CTX, call)
    assert ran == [1]


async def test_what_a_hook_sets_in_a_context_variable_the_task_sees():
    tenant: ContextVar[str] = ContextVar("tenant")

    @around_run
    async def of_tenant(ctx, call_next):
        tenant.set("acme")
        return await call_next()

    async def call() -> str:
        return tenant.get()

    assert await asyncio.create_task(run_through(CTX, call)) == "acme"


async def test_hooks_of_enqueue_hand_on_another_request_the_outermost_first():
    @around_enqueue
    async def outer(request, call_next):
        reference = await call_next(request.with_headers({"by": "outer", "outer": True}))
        return [*reference, "out"]

    @around_enqueue
    async def inner(request, call_next):
        return await call_next(request.with_headers({"by": "inner"}))

    stored, request, out = await enqueue_through(REQUEST, store)
    assert (stored, out) == ("stored", "out")
    assert request.headers == {"by": "inner", "outer": True}
    assert not REQUEST.headers


async def test_a_hook_of_enqueue_may_return_a_reference_of_its_own():
    @around_enqueue
    async def elsewhere(request, call_next):
        return "a reference"

    assert await enqueue_through(REQUEST, store) == "a reference"


async def test_a_hook_of_enqueue_that_returns_nothing_is_told_so():
    @around_enqueue
    async def forgetful(request, call_next):
        await call_next(request)

    with pytest.raises(HookError, match="forgetful: it returned None: it must return a reference, as call_next does"):
        await enqueue_through(REQUEST, store)


async def test_a_hook_that_stores_twice_is_told_so():
    @around_enqueue
    async def doubling(request, call_next):
        await call_next(request)
        return await call_next(request)

    with pytest.raises(HookError, match="doubling: it called call_next twice: a call of enqueue stores one job"):
        await enqueue_through(REQUEST, store)


def a_module(version: int) -> types.ModuleType:
    """Return a module as it is after its file was loaded."""
    module = types.ModuleType("shop_hooks")
    source = f"async def timed(ctx, call_next): return {version}\nasync def other(ctx, call_next): return 'other'"
    exec(source, vars(module))  # noqa: S102 - a module that is loaded again
    return module


async def test_a_module_that_is_loaded_again_replaces_its_hooks_where_they_stood():
    for version in (1, 2):
        module = a_module(version)
        around_run(module.timed)
        around_run(module.other)
    assert len(hooks.run_hooks) == 2
    assert await run_through(CTX, lambda: asyncio.sleep(0)) == 2


async def test_hooks_that_a_function_makes_are_each_their_own():
    def adding(n: int) -> Any:
        async def add(ctx, call_next):
            return n + await call_next()

        return around_run(add)

    adding(1)
    adding(10)
    assert await run_through(CTX, functools.partial(asyncio.sleep, 0, 100)) == 111


def plain(ctx, call_next): ...
async def of_one(ctx): ...
async def of_three(ctx, call_next, more): ...
async def by_name(*, ctx, call_next): ...


@pytest.mark.parametrize("register", [around_run, around_enqueue])
@pytest.mark.parametrize("wrong", [plain, of_one, of_three, by_name, 3])
def test_what_is_no_hook_is_refused_where_it_is_defined(register, wrong):
    with pytest.raises(HookDefinitionError, match="must be an async function of two parameters: async def hook") as no:
        register(wrong)
    assert isinstance(no.value, ConfigurationError)
    assert getattr(wrong, "__name__", "3") in str(no.value)
    assert not hooks.run_hooks
    assert not hooks.enqueue_hooks


def test_a_decorated_hook_is_the_function_that_it_was():
    async def hook(ctx, call_next): ...

    assert around_run(hook) is hook
    assert around_enqueue(hook) is hook


async def settings() -> AsyncIterator[dict[str, str]]:
    yield {}


def test_a_dependency_has_the_name_of_its_function_and_keeps_its_place_when_defined_again():
    async def second(opened) -> AsyncIterator[int]:
        yield 1

    first = dependency(settings)
    dependency(second)
    again = dependency(settings)
    assert repr(first) == f"<dependency '{__name__}.settings'>"
    ours = [one for one in hooks.dependencies.values() if one.name.startswith(__name__)]
    assert [one.takes_opened for one in ours] == [False, True]
    assert ours[0] is again is not first


async def not_a_generator() -> int:
    return 1


def not_async() -> Iterator[int]:
    yield 1


async def of_two(opened, more) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (not_a_generator, "a dependency is an async generator, undecorated"),
        (not_async, "a dependency is an async generator, undecorated"),
        (of_two, "a dependency has no parameters, or one: what is open already"),
    ],
)
def test_what_is_no_dependency_is_refused_where_it_is_defined(wrong, problem):
    with pytest.raises(HookDefinitionError, match=f"{wrong.__name__}: {problem}"):
        dependency(wrong)


def test_a_stand_in_holds_until_its_end_also_within_another():
    defined = dependency(settings)
    with overridden(defined, {"a": "1"}):
        with overridden(defined, {"a": "2"}):
            assert hooks.overrides[defined] == {"a": "2"}
        assert hooks.overrides[defined] == {"a": "1"}
    assert hooks.overrides == {}


def test_the_names_are_public():
    assert jobsd.around_run is around_run
    assert jobsd.Dependency is hooks.Dependency
    assert jobsd.Opened is hooks.Opened
