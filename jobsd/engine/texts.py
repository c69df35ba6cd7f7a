"""Texts of errors and values as they may be kept: whatever they hold, of bounded length, and encodable."""

from __future__ import annotations

import traceback

MESSAGE_LIMIT = 2048
TRACE_LIMIT = 16 * 1024
REPR_LIMIT = 1024


def message_of(error: BaseException) -> str:
    """Return what the error says, or its type where it says nothing or cannot speak."""
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - an exception whose __str__ raises
        text = f"(no message: {type(broken).__name__})"
    return capped(text or type(error).__name__, MESSAGE_LIMIT)


def trace_of(error: BaseException) -> str:
    """Return the traceback, its end where it is too long: that is where the cause stands."""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException as broken:  # noqa: BLE001 - see message_of
        text = f"(no trace: {type(broken).__name__})"
    return encodable(text if len(text) <= TRACE_LIMIT else "… (cut)\n" + text[-TRACE_LIMIT:])


def repr_of(value: object) -> str:
    try:
        text = repr(value)
    except BaseException as broken:  # noqa: BLE001 - a __repr__ of the user's may raise anything
        text = f"(no repr: {type(broken).__name__})"
    return capped(text, REPR_LIMIT)


def capped(text: str, limit: int) -> str:
    return encodable(text if len(text) <= limit else text[:limit] + "… (cut)")


def encodable(text: str) -> str:
    """Return ``text`` with a ? for what has no UTF-8 form (half of a surrogate pair, as in odd file names)."""
    return text.encode("utf-8", "replace").decode()
