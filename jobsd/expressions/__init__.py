"""Schedules as people write them: ``"0 23 L * *"``, ``"@daily 2:00"``, ``"@every 1h30m"``, and when they are due.

    expression.py  parse() and what it returns; read this first
    fields.py      five or six fields, each item checked where it stands      -> Fields
    days.py        whether any day fits them
    hints.py       what was probably meant by what is refused
    shortcuts.py   what begins with @                                         -> Fields, Every or Once
    cron.py        fields in a zone: the due times after and before an instant
    wall.py        what the clock on a zone's walls shows, and when it is put forward and back
    instants.py    every so often, and once
    words.py       an expression in words: times here, days in days_in_words.py, both from spans.py
    helpers.py     texts of the usual expressions: daily_at(10, 30)

Pure: no server, no event loop, and the time comes as an argument, in epoch milliseconds. cronsim is imported when a
cron form is first asked for a due time; whoever only declares schedules does not need it.
"""

from jobsd.expressions.error import ExpressionError
from jobsd.expressions.expression import Expression, parse

__all__ = ["Expression", "ExpressionError", "parse"]
