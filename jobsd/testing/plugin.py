"""Pytest's fixtures. All are synchronous, so that any plugin for async tests will do; what they hand out is not.

pytest loads this in every run, in whatever project: it imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from jobsd.testing import CapturedJobs, Clock, IdleWorker


@pytest.fixture
def jobsd_jobs() -> Iterator[CapturedJobs]:
    """All jobs that are enqueued during the test, captured; see ``jobsd.testing.capture``."""
    from jobsd.testing import capture  # noqa: PLC0415 - see above

    with capture() as jobs:
        yield jobs


@pytest.fixture
def jobsd_clock() -> Iterator[Clock]:
    """A clock to move; see ``jobsd.testing.movable_clock``."""
    from jobsd.testing import movable_clock  # noqa: PLC0415 - see above

    with movable_clock() as clock:
        yield clock


@pytest.fixture(scope="session")
def jobsd_redis_url() -> Iterator[str]:
    """The address of a Valkey of this run's own. A project that has one for its tests overrides this fixture."""
    from jobsd.testing.valkey import own_valkey, stop_own_valkey  # noqa: PLC0415 - see above

    yield own_valkey()
    stop_own_valkey()


@pytest.fixture
def jobsd_worker(jobsd_redis_url: str) -> Callable[..., AbstractAsyncContextManager[IdleWorker]]:
    """What opens a worker for ``jobsd_redis_url``: ``async with`` it, called as ``jobsd.testing.worker`` is.

    The Valkey of this run's own is emptied before; any other is left as it is.
    """
    from jobsd.testing import worker  # noqa: PLC0415 - see above
    from jobsd.testing.valkey import clear_if_own  # noqa: PLC0415 - see above

    clear_if_own(jobsd_redis_url)
    return functools.partial(worker, jobsd_redis_url)


def pytest_assertrepr_compare(op: str, left: Any, right: Any) -> list[str] | None:
    """Say in what a captured job and the expected one differ."""
    if op != "==" or "jobsd.testing.captured" not in sys.modules:
        return None
    from jobsd.testing.captured import explained  # noqa: PLC0415 - see above

    return explained(left, right)
