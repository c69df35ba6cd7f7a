"""Whether a target is reached: the median of the rounds, on the right side of a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figures import middle, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.figures import ByRound, Figures

    Way = Callable[[Figures], ByRound]


class Target(NamedTuple):
    """``at_least`` says on which side of ``bound`` and ``stretch`` it is reached."""

    measure: str
    what: str
    of: Way
    at_least: bool
    bound: float
    stretch: float | None
    form: Callable[[float], str]


class Verdict(NamedTuple):
    measure: str
    what: str
    found: str
    bound: str
    stretch: str
    reached: str


def judge(figures: Figures, targets: Iterable[Target]) -> list[Verdict]:
    """Return a line for each target whose figures were measured."""
    return [_verdict(target, found) for target in targets if (found := target.of(figures))]


def _verdict(target: Target, found: ByRound) -> Verdict:
    sign = "≥ " if target.at_least else "≤ "

    def kept(bound: float) -> bool:
        return middle(found) >= bound if target.at_least else middle(found) <= bound

    reached = "no" if not kept(target.bound) else "yes"
    if target.stretch is not None and kept(target.stretch):
        reached = "stretch"
    return Verdict(
        target.measure,
        target.what,
        spread(found, target.form),
        sign + target.form(target.bound),
        "" if target.stretch is None else sign + target.form(target.stretch),
        reached,
    )
