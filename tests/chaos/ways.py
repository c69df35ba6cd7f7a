"""The ways in which jobs of the run ``effects`` have their effect."""

from __future__ import annotations

from typing import NamedTuple


class Way(NamedTuple):
    """``often`` is a weight."""

    task: str
    often: int
    exact: bool = True
    """The effect happens once; else once or more, since jobsd promises no more of it."""
    keeps: bool = False
    """The result is {"n": n}, whatever follows the effect."""
    leads: bool = False
    """Its transaction enqueues another job, which has the effect of the same number with a minus."""


WAYS = {
    "once": Way("book", 30),
    "kept": Way("book", 10, keeps=True),  # then it raises, on each attempt
    "raised": Way("book", 10),
    "lingering": Way("book", 10, keeps=True),  # between its effect and its end
    "failing": Way("book", 5),  # inside of the transaction, at first
    "slow": Way("book", 1),  # inside of the transaction, longer than a lease
    "leading": Way("book", 10, keeps=True, leads=True),
    "threaded": Way("book_in_a_thread", 7),
    "apart": Way("book_in_a_child", 2),
    "stepping": Way("book_by_steps", 10),
    "bare": Way("book_bare", 5, exact=False),
}
FOLLOWING = Way("book", 0)
