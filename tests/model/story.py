"""How the story of an example tells what was called and answered."""

from __future__ import annotations

from typing import Any

from jobsd.store.jobs import Holder, Lease, NewJob, Quota


def words(value: Any) -> str:
    """Return a value as the story tells it."""
    match value:
        case Lease():
            return value.mark and f"{value.id}={value.mark}"
        case NewJob():
            return f"{value.queue}/{value.id} {value.when} {value.payload.decode()}"
        case Holder():
            return f"{'joined' if value.joined else 'held by'} {value.queue}/{value.id}"
        case Quota():
            return f"{value.queue}: {value.slots}{value.gate and ' ' + value.gate}"
        case tuple() if hasattr(value, "lease"):
            return f"{words(value.lease)} {value.move} {value.at} {value.data!r}"
        case list():
            return "[" + ", ".join(map(words, value)) + "]"
        case tuple():
            return "(" + ", ".join(map(words, value)) + ")"
        case _:
            return str(value)
