"""The one error of this room."""

from __future__ import annotations

_SHOWN = 60  # characters of an expression that a message repeats


class ExpressionError(ValueError):
    """An expression is not one, or is due at no time.

    ``text`` is the expression, ``position`` the characters in it that are wrong, as (first, behind the last) from 0,
    ``field`` the name of their field, or None where it is no matter of one field. The message is one line.
    """

    def __init__(
        self, text: object, problem: str, *, position: tuple[int, int] | None = None, field: str | None = None
    ) -> None:
        length = len(text) if isinstance(text, str) else 0
        shown = repr(text if not isinstance(text, str) or length <= _SHOWN else f"{text[:_SHOWN]}…")
        where = ""
        if position is not None:
            first, last = position[0] + 1, position[1]
            where = f", character {first}" if first >= last else f", characters {first} to {last}"
        super().__init__(f"schedule {shown}{where}: {f'{field} ' if field else ''}{problem}")
        self.text = text
        self.position = position or (0, length)
        self.field = field
