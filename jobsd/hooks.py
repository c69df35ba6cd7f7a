"""What an application puts around its jobs, and what it lends them: hooks and dependencies.

Each holds for the process in which its module is imported. Of several hooks the first that was registered is the
outermost. Importing this costs next to nothing.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from jobsd.errors import HookDefinitionError, HookError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Hashable

    from jobsd.client import JobRef
    from jobsd.context import Context
    from jobsd.job import JobRequest

T = TypeVar("T")

RunHook: TypeAlias = "Callable[[Context, Callable[[], Awaitable[Any]]], Awaitable[Any]]"
StoreRequest: TypeAlias = "Callable[[JobRequest[Any]], Awaitable[JobRef[Any]]]"
EnqueueHook: TypeAlias = "Callable[[JobRequest[Any], StoreRequest], Awaitable[JobRef[Any]]]"
_R = TypeVar("_R", bound="RunHook")
_E = TypeVar("_E", bound="EnqueueHook")

run_hooks: dict[Hashable, RunHook] = {}
"""By where they are defined, the outermost first. Empty: there is nothing to go through."""
enqueue_hooks: dict[Hashable, EnqueueHook] = {}
dependencies: dict[Hashable, Dependency[Any]] = {}
"""In the order in which they are opened."""
overrides: dict[Dependency[Any], Any] = {}
"""What stands in for a dependency, in tests."""


class Opened(Protocol):
    """What a dependency may be handed: those that were defined before it."""

    def use(self, dependency: Dependency[T]) -> T:
        """Return the other's value. Raises DependencyError if it is not open."""
        ...


class Dependency(Generic[T]):
    """What a worker process opens when it starts and closes when it ends; ``ctx.use`` returns the value."""

    __slots__ = ("function", "name", "takes_opened")

    def __init__(self, function: Callable[..., AsyncIterator[T]], name: str, *, takes_opened: bool) -> None:
        self.function = function
        self.name = name
        self.takes_opened = takes_opened

    def __repr__(self) -> str:
        return f"<dependency {self.name!r}>"


def around_run(hook: _R) -> _R:
    """Put ``async def hook(ctx, call_next)`` around every run of a task: what it returns is the job's result.

    ``await call_next()`` runs what is further in, and in the end the task, whose arguments have been checked; it may
    be called once. What the hook raises is the run's error. The run's timeout holds for both. Raises
    HookDefinitionError.
    """
    _check_hook(hook, "ctx, call_next")
    run_hooks[_place(hook)] = hook
    return hook


def around_enqueue(hook: _E) -> _E:
    """Put ``async def hook(request, call_next)`` around every enqueue of this process: it returns the job's reference.

    ``await call_next(request)`` stores the request, or another that was made of it (``request.with_headers(…)``). What
    the hook raises before that is raised by ``enqueue``, and nothing is stored. Raises HookDefinitionError.
    """
    _check_hook(hook, "request, call_next")
    enqueue_hooks[_place(hook)] = hook
    return hook


def dependency(function: Callable[[], AsyncIterator[T]] | Callable[[Opened], AsyncIterator[T]]) -> Dependency[T]:
    """Make an async generator, which yields one value between opening it and closing it, a dependency.

    It may take one parameter, what is open already: ``opened.use(settings)``. Raises HookDefinitionError.
    """
    name = _name(function)
    if not inspect.isasyncgenfunction(function):
        problem = "a dependency is an async generator, undecorated: async def http(): … yield client"
        raise HookDefinitionError(hook=name, problem=problem)
    if not _takes(function, 0) and not _takes(function, 1):
        raise HookDefinitionError(hook=name, problem="a dependency has no parameters, or one: what is open already")
    defined: Dependency[T] = Dependency(function, name, takes_opened=not _takes(function, 0))
    dependencies[_place(function)] = defined
    return defined


@contextlib.contextmanager
def overridden(dependency: Dependency[T], value: T) -> Generator[T]:
    """Let ``value`` stand in for a dependency, which no worker that starts meanwhile opens."""
    before = {key: one for key, one in overrides.items() if key is dependency}
    overrides[dependency] = value
    try:
        yield value
    finally:
        del overrides[dependency]
        overrides.update(before)


def run_through(ctx: Context, call: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
    """Call what is to run, through all hooks."""
    for hook in reversed([*run_hooks.values()]):
        call = _around_run(hook, ctx, call)
    return call()


def enqueue_through(request: JobRequest[Any], store: StoreRequest) -> Awaitable[JobRef[Any]]:
    """Store the request, through all hooks."""
    for hook in reversed([*enqueue_hooks.values()]):
        store = _around_enqueue(hook, store)
    return store(request)


def _around_run(hook: RunHook, ctx: Context, call: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    called = False

    def call_next() -> Awaitable[Any]:
        nonlocal called
        if called:
            raise HookError(hook=_name(hook), problem="it called call_next twice: a run of a job runs its task once")
        called = True
        return call()

    return lambda: hook(ctx, call_next)


def _around_enqueue(hook: EnqueueHook, store: StoreRequest) -> StoreRequest:
    async def through(request: JobRequest[Any]) -> JobRef[Any]:
        called = False

        def call_next(request: JobRequest[Any]) -> Awaitable[JobRef[Any]]:
            nonlocal called
            if called:
                problem = "it called call_next twice: a call of enqueue stores one job"
                raise HookError(hook=_name(hook), problem=problem)
            called = True
            return store(request)

        reference = await hook(request, call_next)
        if reference is None:  # pyright: ignore[reportUnnecessaryComparison]
            problem = "it returned None: it must return a reference, as call_next does"
            raise HookError(hook=_name(hook), problem=problem)
        return reference

    return through


def _check_hook(hook: Any, parameters: str) -> None:
    if not inspect.iscoroutinefunction(hook) or not _takes(hook, 2):
        problem = f"it must be an async function of two parameters: async def hook({parameters})"
        raise HookDefinitionError(hook=_name(hook), problem=problem)


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*(None,) * count)
    except TypeError:
        return False
    return True


def _place(function: Any) -> Hashable:
    """Return what is the same when a module is loaded again; what is made by a function or a method is itself."""
    if inspect.isfunction(function) and "<locals>" not in function.__qualname__:
        return _name(function)
    return function


def _name(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    return repr(function) if name is None else f"{function.__module__}.{name}"
