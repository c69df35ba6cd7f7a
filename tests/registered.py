"""Tasks, schedules, hooks, dependencies and what is carried hold for the process; a test has its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from jobsd import definition, headers, hooks
from jobsd.schedule import declared

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


@contextlib.contextmanager
def nothing_else_declared() -> Iterator[None]:
    """Begin without tasks and schedules, and bring back at the end those that were there."""
    registries = [definition.registry, declared.registry]
    before = [dict(registry) for registry in registries]
    for registry in registries:
        registry.clear()
    try:
        yield
    finally:
        for registry, kept in zip(registries, before, strict=True):
            registry.clear()
            registry.update(kept)
