"""Hooks, dependencies and what is carried hold for the process; a test has its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from jobsd import headers, hooks

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def nothing_else_registered() -> Iterator[None]:
    """Forget at the end what was registered meanwhile."""
    registries = [hooks.run_hooks, hooks.enqueue_hooks, hooks.dependencies, headers._carried]
    before = [dict(registry) for registry in registries]
    try:
        yield
    finally:
        for registry, kept in zip(registries, before, strict=True):
            registry.clear()
            registry.update(kept)
