"""Runs a plain function in a thread of its own, so that it delays nobody, and interrupts it when it is to end.

A thread cannot be killed. What can be done is to raise an error at its next line of Python; a function that is inside
a call of C (a long query, a sleep) hears of it when that call returns. It keeps its slot and its lease until then.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.context import PlainContext

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jobsd.context import Context

GIVE_UP = "give up"
"""What a task is cancelled with that is not to wait for its thread any longer."""
_SWITCH_S = 0.0005
"""How long a thread that computes may keep the interpreter from the loop. Python's own 5 ms come on top of each of the
several steps that a job takes."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class StopThread(BaseException):
    """Raised inside a plain function that is to end. ``except Exception`` lets it pass; ``finally`` runs."""


async def run_in_thread(
    function: Callable[..., Any], ctx: Context, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return what ``function`` returns, or raise what it raises.

    Cancelled, it interrupts the function and goes on waiting: the thread has ended when this has. A function that was
    interrupted ends as CancelledError, from its StopThread.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
    run = _Run(asyncio.get_running_loop())
    plain = PlainContext(ctx, wait=run.wait, stopping=run.stopping.is_set)
    call = contextvars.copy_context().run
    thread = threading.Thread(
        target=run.main, args=(lambda: call(function, plain, *args, **kwargs),), name=f"jobsd {ctx.task}", daemon=True
    )
    thread.start()
    while not run.ended.done():
        try:
            await asyncio.wait({run.ended})
        except asyncio.CancelledError as error:
            if GIVE_UP in error.args:
                raise  # the process is about to end, and the thread with it
            run.interrupt()
    error = run.error
    if isinstance(error, StopThread):
        raise asyncio.CancelledError from error
    if error is not None:
        try:
            raise error
        finally:
            run.error = error = None  # its trace holds this frame, and with it everything in it
    return run.result


class _Run:
    """One function in its thread. ``ended`` belongs to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.ended: asyncio.Future[None] = loop.create_future()
        self.stopping = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self._called = self._returned = False
        self._thread: int | None = None
        """While it is in the function: only there is it to be interrupted."""
        self._waited_for: concurrent.futures.Future[Any] | None = None

    def main(self, call: Callable[[], Any]) -> None:
        """Be the thread. An interruption may land on any line, a little late even behind the function."""
        while True:
            try:
                if not self._called:
                    self._called = True
                    self._run(call)
                self._thread = None
                self._loop.call_soon_threadsafe(self._end)
            except StopThread as error:
                if not self._returned:
                    self.error = self.error or error
            except RuntimeError:
                return  # the loop is closed: nobody waits any more
            else:
                return

    def interrupt(self) -> None:
        """Tell the function to end; may be said again. Called in the loop.

        It ends the wait that is under way. What the function waits for afterwards, to clean up, has its time.
        """
        self.stopping.set()
        if (waited_for := self._waited_for) is not None and waited_for.cancel():
            return
        if (thread := self._thread) is not None:
            _raise_in_thread(thread, StopThread)

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop, called in the thread."""
        if threading.get_ident() != self._thread:
            coroutine.close()
            msg = "a PlainContext belongs to the thread of its function"
            raise RuntimeError(msg)
        self._waited_for = future = asyncio.run_coroutine_threadsafe(_held(coroutine), self._loop)
        try:
            result = future.result()
        except concurrent.futures.CancelledError:
            if self.stopping.is_set():
                raise StopThread from None
            raise
        finally:
            self._waited_for = None
        if isinstance(result, _Exit):
            raise result.error
        return result

    def _run(self, call: Callable[[], Any]) -> None:
        self._thread = threading.get_ident()
        try:
            if self.stopping.is_set():
                raise StopThread  # noqa: TRY301 - it ends as if it had begun
            self.result, self._returned = call(), True
        except BaseException as error:  # noqa: BLE001 - whatever it is goes to whoever waits
            self.error = error

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class _Exit(NamedTuple):
    error: BaseException


async def _held(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Hold back what would end the process if it left an asyncio task."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        return _Exit(error)
