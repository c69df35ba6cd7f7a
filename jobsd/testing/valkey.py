"""A Valkey of the tests' own, out of the extra ``embedded``: started at the first use, ended with the process."""

from __future__ import annotations

import asyncio
import atexit
import select
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobsd.errors import NotConfiguredError
from jobsd.store.connection import connect

_STARTED_WITHIN_S = 60.0
_ENDED_WITHIN_S = 20.0
_WAYS = "say which one is for tests: worker(url), or a fixture jobsd_redis_url. Of its own there is none here"


class _Own:
    """The server, in a process of its own: it must be started by a main thread, and this may be another."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jobsd.testing.serving"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for the tests; this one ends when they have
        )
        word, _, told = self._first_line().partition(" ")
        if word != "url":
            self.stop()
            raise NotConfiguredError(what="Redis", ways=f"{_WAYS}: {told or 'its process does not start'}")
        self.url = told

    def _first_line(self) -> str:
        output = self._process.stdout
        assert output is not None  # noqa: S101 - a pipe, see above
        ready, _, _ = select.select([output], [], [], _STARTED_WITHIN_S)
        return output.readline().strip() if ready else ""

    def stop(self) -> None:
        """End it; what it had is gone."""
        try:
            self._process.communicate(timeout=_ENDED_WITHIN_S)  # which ends its input, and so it ends
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


_own: _Own | None = None
_starting = threading.Lock()


def own_valkey() -> str:
    """Return the address of the tests' own Valkey, which is started if it does not run. Raises NotConfiguredError."""
    global _own  # noqa: PLW0603 - there is one for the process
    with _starting:
        if _own is None:
            _own = _Own()
            atexit.register(stop_own_valkey)
        return _own.url


def empty_valkey() -> str:
    """Return the same, with nothing in it."""
    url = own_valkey()
    clear_if_own(url)
    return url


def clear_if_own(url: str) -> None:
    """Empty the tests' own Valkey; any other is left as it is."""
    if _own is not None and url == _own.url:
        with ThreadPoolExecutor(1) as elsewhere:  # a loop may be running here
            elsewhere.submit(asyncio.run, _clear(url)).result()


def stop_own_valkey() -> None:
    """End it, if it runs."""
    global _own
    with _starting:
        if _own is not None:
            atexit.unregister(stop_own_valkey)
            own, _own = _own, None
            own.stop()


async def _clear(url: str) -> None:
    redis: Any = connect(url, connections=1)
    try:
        await redis.flushdb()
    finally:
        await redis.aclose()
