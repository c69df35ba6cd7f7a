from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registered import nothing_else_declared

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with nothing_else_declared():
        yield
