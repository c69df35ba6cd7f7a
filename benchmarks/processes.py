"""Processes that measure: each does its part, prints one line of JSON, and ends."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

CHECKOUT = Path(__file__).parents[1]
_GRACE_S = 10.0


class IncompleteError(Exception):
    """A measurement did not do all that it was to measure, so its figures mean nothing."""


class Measuring:
    """A process that is at work."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, within_s: float) -> None:
        self._name = name
        self._process = process
        self._within_s = within_s

    async def answer(self) -> dict[str, Any]:
        """Return what it prints. Raises IncompleteError if it fails, or takes longer than it may."""
        try:
            async with asyncio.timeout(self._within_s + _GRACE_S):  # it watches the time itself, and then tells more
                said, _ = await self._process.communicate()
        except TimeoutError:
            raise IncompleteError(f"{self._name} says nothing after {self._within_s:g} s") from None
        if self._process.returncode:
            raise IncompleteError(f"{self._name} ended with exit code {self._process.returncode}")
        return json.loads(said)

    async def while_running(self, waiting: Coroutine[Any, Any, Any]) -> None:
        """Wait for something that needs this process. Raises IncompleteError if it ends before."""
        wanted, ended = asyncio.ensure_future(waiting), asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait((wanted, ended), return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise IncompleteError(f"{self._name} ended with exit code {self._process.returncode}")
            wanted.result()
        finally:
            wanted.cancel()
            ended.cancel()
            await asyncio.gather(wanted, ended, return_exceptions=True)

    def terminate(self) -> None:
        """Ask it to end; it then answers."""
        self._process.terminate()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def measuring(module: str, within_s: float, **options: object) -> AsyncIterator[Measuring]:
    """Run ``benchmarks.<module>`` with its options as JSON; it does not outlive the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"benchmarks.{module}",
        json.dumps({**options, "within_s": within_s}),
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        start_new_session=True,  # Ctrl-C is for us alone: the block's end is theirs
    )
    measured = Measuring(module, process, within_s)
    try:
        yield measured
    finally:
        await measured.end()


def options() -> dict[str, Any]:
    """Return the options that this process was started with."""
    return json.loads(sys.argv[1])


def answer(**figures: object) -> None:
    print(json.dumps(figures))
