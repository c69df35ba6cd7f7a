"""Calls the function of a step, unless it is remembered: from a coroutine, or from the thread of a plain function.

The thread has what is asked of Postgres done by ``wait``, in its process's event loop.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from jobsd.records.blocking import BlockingConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jobsd.records.steps import Steps

    Wait = Callable[[Coroutine[Any, Any, Any]], Any]


async def run_step(steps: Steps, key: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Return what ``function(*args, **kwargs)`` returned, now or before."""
    step = await steps.begin(key, function)
    if not step.done:
        with step:
            value = function(*args, **kwargs)
            await step.keep(await value if inspect.isawaitable(value) else value)
    return step.result


async def run_step_transaction(steps: Steps, key: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Return what ``function(conn, *args, **kwargs)`` returned, now or before; its writes commit with the step."""
    step = await steps.begin(key, function)
    if step.done:
        return step.result
    with step:
        connection = await step.open()
        if connection is None:  # another run was first
            return step.result
        try:
            with step.holding():
                value = function(connection, *args, **kwargs)
                if inspect.isawaitable(value):
                    value = await value
        except BaseException:
            await step.undo()
            raise
        await step.commit(value)
    return step.result


def run_step_in_thread(wait: Wait, steps: Steps, key: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Do as ``run_step`` does."""
    step = wait(steps.begin(key, function))
    if not step.done:
        with step:
            value = function(*args, **kwargs)
            wait(step.keep(wait(value) if inspect.iscoroutine(value) else value))
    return step.result


def run_step_transaction_in_thread(
    wait: Wait, steps: Steps, key: str, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    """Do as ``run_step_transaction`` does."""
    step = wait(steps.begin(key, function))
    if step.done:
        return step.result
    with step:
        connection = wait(step.open())
        if connection is None:
            return step.result
        try:
            with step.holding():
                value = function(_of(connection, function, wait), *args, **kwargs)
                if inspect.iscoroutine(value):
                    value = wait(value)
        except BaseException:
            wait(step.undo())
            raise
        wait(step.commit(value))
    return step.result


def _of(connection: Any, function: Callable[..., Any], wait: Wait) -> Any:
    """Return the connection as the function can use it: in the loop, or in its thread."""
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    return connection if is_async else BlockingConnection(connection, wait)
