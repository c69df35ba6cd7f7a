from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.engine.shares import Shares, preference

if TYPE_CHECKING:
    from jobsd.store.jobs import Quota


def claimed(plan: list[Quota], slots: int, waiting: dict[str, int]) -> list[Any]:
    """Take what claim.lua would: each queue's quota, then what is left, in the order of the plan."""
    taken: Counter[str] = Counter()
    for most in (lambda quota: quota.slots, lambda _: slots):
        for quota in plan:
            room = min(most(quota), slots - taken.total(), waiting.get(quota.queue, 0) - taken[quota.queue])
            taken[quota.queue] += max(0, room)
    return [SimpleNamespace(queue=queue) for queue, count in taken.items() for _ in range(count)]


def served(shares: Shares, slots: int, rounds: int, waiting: dict[str, int]) -> Counter[str]:
    total: Counter[str] = Counter()
    for _ in range(rounds):
        plan = shares.plan(slots)
        leases = claimed(plan, slots, waiting)
        taken = Counter(lease.queue for lease in leases)
        more = any(count > taken[queue] for queue, count in waiting.items())
        shares.settle(plan, leases, cut=more and len(leases) < slots)  # as the dispatcher tells it
        total.update(lease.queue for lease in leases)
    return total


PLENTY = {"critical": 10**6, "default": 10**6, "low": 10**6}
WEIGHTS = {"critical": 6, "default": 3, "low": 1}


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 100, 500])
def test_weights_hold_over_time_with_any_number_of_slots(slots: int) -> None:
    rounds = 1000
    total = served(Shares(WEIGHTS), slots, rounds, PLENTY)
    for queue, weight in WEIGHTS.items():
        assert abs(total[queue] - slots * rounds * weight / 10) <= 2


def test_with_one_slot_ten_turns_are_six_three_and_one() -> None:
    shares = Shares(WEIGHTS)
    for _ in range(20):
        assert served(shares, 1, 10, PLENTY) == {"critical": 6, "default": 3, "low": 1}


@pytest.mark.parametrize("slots", [1, 7, 100])
def test_the_share_of_an_idle_queue_goes_to_the_others_by_their_weights(slots: int) -> None:
    total = served(Shares(WEIGHTS), slots, 1000, PLENTY | {"critical": 0})
    assert total["default"] + total["low"] == slots * 1000
    if slots > 1:  # a single slot that its owner leaves is a gift to the first in the order
        assert total["default"] > total["low"] > 0


@pytest.mark.parametrize("slots", [1, 7, 100])
def test_a_queue_that_was_idle_comes_back_without_a_claim_and_without_a_debt(slots: int) -> None:
    shares = Shares(WEIGHTS)
    served(shares, slots, 500, PLENTY | {"low": 0})
    served(shares, slots, 500, PLENTY | {"critical": 0, "default": 0})  # gifts to low
    total = served(shares, slots, 100, PLENTY)
    for queue, weight in WEIGHTS.items():
        assert abs(total[queue] - slots * 10 * weight) <= max(2, slots)


@pytest.mark.parametrize("slots", [1, 7, 100])
def test_weight_0_gets_what_all_others_leave_and_no_more(slots: int) -> None:
    shares = Shares({"busy": 1, "idle": 0})
    assert served(shares, slots, 100, {"busy": 10**6, "idle": 10**6})["idle"] == 0
    left = served(shares, slots, 100, {"busy": slots // 2, "idle": 10**6})
    assert left["idle"] == 100 * (slots - slots // 2)


def test_weights_that_are_all_0_leave_no_slot_empty() -> None:
    assert served(Shares({"a": 0, "b": 0}), 5, 10, {"a": 3, "b": 3}).total() == 50


@pytest.mark.parametrize("slots", [1, 7, 100])
def test_quotas_add_up_to_the_slots(slots: int) -> None:
    shares = Shares(WEIGHTS)
    for _ in range(100):
        plan = shares.plan(slots)
        assert sum(quota.slots for quota in plan) == slots
        shares.settle(plan, claimed(plan, slots, PLENTY))


@pytest.mark.parametrize("slots", [1, 7])
def test_a_queue_with_few_jobs_now_and_then_still_gets_them_run(slots: int) -> None:
    shares = Shares(WEIGHTS)
    for _ in range(200):
        served(shares, slots, 3, PLENTY | {"low": 0})
        assert served(shares, slots, 10, PLENTY | {"low": 1})["low"] >= 1


def test_queues_that_are_owed_the_same_go_first_in_turn() -> None:
    """What two queues share, such as a resource with room for one job, is then not always the first one's."""
    shares = Shares({"left": 1, "right": 1})
    firsts: list[str] = []
    for _ in range(10):
        plan = shares.plan(10)
        firsts.append(plan[0].queue)
        shares.settle(plan, [SimpleNamespace(queue=firsts[-1])])  # one took all that there was
    assert firsts.count("left") == firsts.count("right") == 5


def test_for_a_single_slot_each_queue_comes_first_as_often_as_its_weight_says(monkeypatch):
    monkeypatch.setattr("jobsd.engine.shares.random", random.Random(7))
    first = Counter(preference({"a": 6, "b": 3, "c": 1, "none": 0})[0] for _ in range(10_000))
    assert [round(first[queue] / 1000) for queue in ("a", "b", "c", "none")] == [6, 3, 1, 0]
    assert preference({"none": 0, "c": 1})[-1] == "none"


def test_strict_queues_come_first_by_their_weight():
    assert preference({"low": 1, "high": 9, "mid": 5}, strict=True) == ["high", "mid", "low"]
