"""The items of a field, as words are made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobsd.expressions.hints import MONTHS, WEEKDAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LISTED = 6  # so many values of a step are named one by one


class Span(NamedTuple):
    """From ``first`` to ``last`` in steps; ``last`` is the last value that they meet. ``star``: all the field has."""

    first: int
    last: int
    step: int = 1
    star: bool = False

    @property
    def run(self) -> bool:
        """Whether it is told as "from … to …"."""
        return self.step == 1 and not self.star and self.last - self.first >= 2  # noqa: PLR2004

    @property
    def single(self) -> bool:
        return self.first == self.last


def spans(part: str, low: int, high: int) -> list[Span]:
    """Return the items of a field in which there are numbers and names only."""
    return [_span(item, low, high) for item in part.split(",")]


def _span(item: str, low: int, high: int) -> Span:
    base, slash, text = item.partition("/")
    first, dash, last = base.partition("-")
    step = int(text or 1)
    if base == "*":
        return Span(low, high - (high - low) % step, step, star=True)
    begins = number(first)
    ends = number(last) if dash else high if slash else begins
    return Span(begins, ends - (ends - begins) % step, step)


def number(word: str) -> int:
    """Return what a number or a name of a field stands for."""
    if word in MONTHS:
        return MONTHS.index(word) + 1
    return WEEKDAYS.index(word) if word in WEEKDAYS else int(word)


def spelled(found: list[Span], label: Callable[[int], str] = str, noun: str = "") -> str:
    """Return ``1, 5 to 9 and 15``; ``noun`` is what steps count.

    >>> spelled(spans("1,5-9,10-20/5", 0, 59)), spelled(spans("2-20/2", 0, 59))
    ('1, 5 to 9, 10, 15 and 20', 'every 2nd from 2 to 20')
    """
    words: list[str] = []
    for span in found:
        values = range(span.first, span.last + 1, span.step)
        if span.single or (span.step > 1 and len(values) <= _LISTED) or (span.step == 1 and len(values) <= 2):  # noqa: PLR2004
            words += [label(value) for value in values]
        elif span.step == 1:
            words.append(f"{label(span.first)} to {label(span.last)}")
        else:
            ends = "" if span.star else f" to {label(span.last)}"
            words.append(f"every {ordinal(span.step)} {noun and f'{noun} '}from {label(span.first)}{ends}")
    return joined(list(dict.fromkeys(words)))


def ordinal(value: int) -> str:
    """Return the how manieth.

    >>> [ordinal(n) for n in (1, 2, 3, 11, 22, 23, 30)]
    ['1st', '2nd', '3rd', '11th', '22nd', '23rd', '30th']
    """
    ending = "th" if 11 <= value <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")  # noqa: PLR2004
    return f"{value}{ending}"


def joined(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
