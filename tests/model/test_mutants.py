"""The machine is worth something only if it sees faults: each of these is put into a script, and it must see it."""

from __future__ import annotations

import os
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine
from tests.model.mutants import MUTANTS, SELDOM
from tests.store.shop import variants

MOST_EXAMPLES = 400
FAULTS = [fault for fault in MUTANTS if fault not in SELDOM or os.environ.get("JOBSD_MODEL_MUTANTS") == "all"]


def mutated(old: str, new: str) -> dict[str, str]:
    """Return the scripts with a fault in those that have ``old``."""
    texts = variants()
    faulty = {name: text.replace(old, new) for name, text in texts.items()}
    assert faulty != texts, f"no script has {old!r} any more"
    return faulty


def examples_until_seen(url: str, texts: dict[str, str], most: int = MOST_EXAMPLES) -> int | None:
    """Return how many examples it takes the machine to fail, or None."""
    numbers = count()

    @seed(1)
    def machine() -> Machine:
        next(numbers)
        return Machine(url, texts)

    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=most,
                stateful_step_count=40,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except AssertionError:
        return next(numbers) - 1  # the last was the failing one once more
    return None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(redis_url, fault, record_property):
    examples = examples_until_seen(redis_url, mutated(*MUTANTS[fault]))
    record_property("examples", examples)
    assert examples is not None
