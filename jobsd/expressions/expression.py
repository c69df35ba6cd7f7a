"""A schedule's expression: what it says, and when it is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobsd.expressions.cron import Cron
from jobsd.expressions.error import ExpressionError
from jobsd.expressions.fields import Fields, read_fields
from jobsd.expressions.shortcuts import read_shortcut
from jobsd.expressions.words import in_words
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.expressions.instants import Every, Once

_LONGEST = 200
_FIRST = -62_000_000_000  # in the year 5: the calendar's ends, less what an offset or a walk may need
_LAST = 250_000_000_000  # in the year 9892


@dataclass(frozen=True, slots=True)
class Expression:
    """When something is due. Two are equal if they were parsed from the same.

    Due times are whole seconds, given in epoch ms. A cron form goes by the clock on the walls of ``zone``:

    * A *fixed time* (``30 2 * * *``: second, minute and hour begin with a digit) is due once a day. Where the clock
      leaps over it, that is the first instant behind the leap; where the clock shows it twice, the first time.
    * An *interval* (``*/30 * * * *``, ``0 */2 * * *``: one of them begins with ``*``) is due whenever the clock shows
      what fits, so it goes on by real time where the clock is put back.
    * Where a day of the month and a day of the week are both given, one of them is enough; but where either begins
      with ``*`` (``*/2``), a day must fit both. That is Debian's rule. ``both_days`` demands both in any case.

    ``@every`` counts from ``anchor_ms`` by real time, whatever clocks show.
    """

    text: str
    zone: str
    seconds: bool = False
    anchor_ms: int = 0
    both_days: bool = False
    _rule: Cron | Every | Once = field(kw_only=True, repr=False, compare=False)
    _found: list[int] = field(default_factory=lambda: [0, 0], init=False, repr=False, compare=False)
    """An instant and the first due time later than it: a scheduler asks for the same one several times."""

    def next(self, after_ms: int) -> int | None:
        """Return the first due time later than ``after_ms``, or None if there is none any more."""
        asked, found = self._found
        if asked <= after_ms < found:
            return found
        due = self._rule.next(max(after_ms // 1000, _FIRST)) if after_ms // 1000 < _LAST else None
        if due is None or due >= _LAST:
            return None
        self._found[:] = after_ms, due * 1000
        return due * 1000

    def previous(self, before_ms: int) -> int | None:
        """Return the last due time earlier than ``before_ms``, or None if there was none."""
        before = min(-(-before_ms // 1000), _LAST)
        due = self._rule.previous(before) if before > _FIRST else None
        return due * 1000 if due is not None and due > _FIRST else None

    def between(self, after_ms: int, until_ms: int, limit: int, *, latest: bool = False) -> list[int]:
        """Return due times with ``after_ms`` < due <= ``until_ms``, in order: the first ``limit``, or the latest."""
        found: list[int] = []
        dues = self._back(until_ms + 1) if latest else self._on(after_ms)
        for due in dues:
            if len(found) >= limit or not after_ms < due <= until_ms:
                break
            found.append(due)
        return found[::-1] if latest else found

    @property
    def words(self) -> str:
        """The expression in words: ``at 23:00 on the last day of the month, Asia/Jakarta``."""
        return in_words(self._rule, self.zone)

    def _on(self, after_ms: int) -> Iterator[int]:
        due = self.next(after_ms)
        while due is not None:
            yield due
            due = self.next(due)

    def _back(self, before_ms: int) -> Iterator[int]:
        due = self.previous(before_ms)
        while due is not None:
            yield due
            due = self.previous(due)


def parse(
    text: object, *, zone: str = "UTC", seconds: bool = False, anchor_ms: int = 0, both_days: bool = False
) -> Expression:
    """Return what ``text`` says: five fields, or six with the second first where ``seconds``; or what begins with @.

    ``zone`` is the name of a time zone; ``anchor_ms``, in epoch ms, is where ``@every`` counts from, cut to seconds.
    Raises ExpressionError with place, reason and suggestion, also for what would never be due.

    >>> parse("0 23 L * *", zone="Asia/Jakarta").next(1_795_000_000_000)
    1796054400000
    """
    if not isinstance(text, str):
        raise ExpressionError(text, 'is not a text such as "30 0 * * *" or "@daily 2:00"')
    _characters(text)
    try:
        where = zone_named(zone)
    except ValueError as error:
        raise ExpressionError(text, f"zone {error}") from None
    if text.lstrip(" ").startswith("@"):
        read = read_shortcut(text, where, anchor=anchor_ms // 1000)
    else:
        read = read_fields(text, seconds=seconds, both_days=both_days)
    rule = Cron(read, where) if isinstance(read, Fields) else read
    return Expression(text, zone, seconds, anchor_ms, both_days, _rule=rule)


def _characters(text: str) -> None:
    if not text.strip(" "):
        raise ExpressionError(text, 'is empty; write a schedule such as "30 0 * * *" or "@daily 2:00"')
    if len(text) > _LONGEST:
        problem = f"is {len(text)} characters long; {_LONGEST} are allowed, so write several schedules instead"
        raise ExpressionError(text, problem, position=(_LONGEST, len(text)))
    for at, character in enumerate(text):
        if not character.isprintable():
            raise ExpressionError(
                text, f"{character!r} is a control character; put spaces there", position=(at, at + 1)
            )
