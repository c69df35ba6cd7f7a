"""A short form of ``make chaos``: what jobs do in transactions happens once, whatever dies, freezes or is cut."""

from __future__ import annotations

import pytest

from tests.chaos import effects
from tests.chaos.effect_faults import Plan
from tests.chaos.effect_ground import Crew
from tests.chaos.effect_laws import Effect, Ending, Facts, Start, judge
from tests.chaos.orders import Fate
from tests.chaos.ways import WAYS

_PLAN = Plan(
    kills=1,
    stops=0,
    freezes=0,  # those that halt are as good
    halts=("inside", "committed", "before-push"),
    flushes=2,
    losses=0,
    crashes=1,
    restarts=0,
    evictions=1,
    away_s=(0.1, 0.3),
    frozen_s=(1.8, 2.2),
    pushing_s=(1.8, 2.2),
    cuts=True,
)
_HALTED = _PLAN._replace(kills=0, halts=("inside",), flushes=0, crashes=0, evictions=0, cuts=False)
_CREW = Crew(daemons=2, concurrency=10, lease="1s", cut=0.04)
_SLOW = {"slow", "apart"}


@pytest.mark.slow
async def test_an_effect_happens_once_if_its_transaction_committed_and_else_never() -> None:
    said: list[str] = []
    ran = await effects.run(300, _PLAN, _CREW, seed=1, say=said.append, ways=WAYS.keys() - _SLOW)
    assert ran.verdict.broken == [], "\n".join(said)
    assert sum(times for fault, times in ran.met.items() if fault != "connections to Redis cut") == 8
    assert ran.verdict.jobs >= 200
    assert ran.verdict.rolled_back > 0
    assert ran.ids_again > 0
    assert ran.verdict.begun_again > 0
    assert ran.daemons_cut.total() > 0
    assert ran.answers_swallowed["claim"] > 0


@pytest.mark.slow
async def test_without_the_key_that_judges_effects_happen_twice_and_that_is_seen() -> None:
    crew = _CREW._replace(cut=0)
    ran = await effects.run(50, _HALTED, crew, seed=1, say=print, control=True, ways=["once"])
    assert any(words.split(" ")[1] == "twice:" for words in ran.verdict.broken), ran.verdict


_FACTS = Facts(
    fates={1: Fate.COMMITTED, 2: Fate.COMMITTED, 3: Fate.ROLLED_BACK, 4: Fate.IN_DOUBT, 5: Fate.IN_DOUBT},
    ways={1: "leading", 2: "once", 3: "once", 4: "once", 5: "once"},
    orders={1, 2, 4},
    effects=[Effect(n, "", f"key{n}", "a") for n in (1, -1, 2, 4)],
    starts=[Start(n, f"key{n}", attempt) for n, attempt in ((1, 1), (-1, 1), (2, 1), (2, 2), (4, 1))],
    endings=[Ending(f"key{n}", "succeeded", "completed", {"n": n}) for n in (1, -1, 2, 4)],
)
_ANOTHER, _LATE = Effect(2, "", "key2", "b"), Effect(5, "", "key5", "a")


def test_effects_that_are_as_they_should_be_break_no_promise() -> None:
    verdict = judge(_FACTS)
    assert verdict.broken == []
    assert (verdict.jobs, verdict.rolled_back, verdict.in_doubt, verdict.turned_out) == (4, 1, 2, 1)
    assert (verdict.starts, verdict.most_starts, verdict.begun_again) == (5, 2, 1)


def test_what_is_not_promised_to_happen_once_may_happen_twice() -> None:
    bare = _FACTS._replace(ways={**_FACTS.ways, 2: "bare"}, effects=[*_FACTS.effects, _ANOTHER])
    assert judge(bare).broken == []


@pytest.mark.parametrize(
    ("facts", "broken"),
    [
        (
            _FACTS._replace(effects=[effect for effect in _FACTS.effects if effect.n != 4]),
            ["1 lost: committed, and without an effect: 4"],
        ),
        (
            _FACTS._replace(effects=[effect for effect in _FACTS.effects if effect.n != -1]),
            ["1 lost: committed, and without an effect: -1"],
        ),
        (_FACTS._replace(effects=[*_FACTS.effects, _ANOTHER]), ["1 twice: effects of one job: 2"]),
        (
            _FACTS._replace(effects=[*_FACTS.effects, _LATE]),
            ["1 phantoms: with an effect, and never committed: 5"],
        ),
        (
            _FACTS._replace(starts=[*_FACTS.starts, Start(3, "key3", 1)]),
            ["1 phantoms: begun, and never committed: 3"],
        ),
        (
            _FACTS._replace(starts=[*_FACTS.starts, Start(2, "other", 1)]),
            ["1 jobs have more than one key: 2"],
        ),
        (_FACTS._replace(endings=_FACTS.endings[:-1]), ["1 jobs have no ending in the ledger: 4"]),
        (
            _FACTS._replace(endings=[*_FACTS.endings[:-1], Ending("key4", "failed", "archived", None)]),
            ["1 jobs had their effect, and did not succeed: 4"],
        ),
        (
            _FACTS._replace(endings=[*_FACTS.endings[1:], Ending("key1", "succeeded", "completed", None)]),
            ["1 jobs have lost the result that was set: 1"],
        ),
        (
            _FACTS._replace(orders={1, 3, 4}),
            [
                "1 orders were committed, and Postgres has not got them: 2",
                "1 orders were rolled back, and Postgres has them: 3",
            ],
        ),
    ],
    ids=["lost", "follower lost", "twice", "phantom", "began", "keys", "no ending", "failed", "result", "orders"],
)
def test_every_broken_promise_of_effects_is_told_in_words(facts, broken) -> None:
    assert judge(facts).broken == broken
