"""The scripts on a real server, driven at random beside a reference of what they promise."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine
from tests.store.shop import variants

EXAMPLES = int(os.environ.get("JOBSD_MODEL_EXAMPLES", "150"))
SHRINK = bool(os.environ.get("JOBSD_MODEL_SHRINK"))  # takes minutes
STEPS = 40


@pytest.mark.timeout(EXAMPLES + 900 if SHRINK else EXAMPLES + 60)
def test_the_scripts_do_what_the_reference_says_whatever_happens(redis_url):
    number = int(os.environ.get("JOBSD_MODEL_SEED") or random.getrandbits(32))
    texts = variants()

    @seed(number)
    def machine() -> Machine:
        return Machine(redis_url, texts)

    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                derandomize=False,
                database=None,
                print_blob=True,
                phases=[Phase.generate, Phase.shrink] if SHRINK else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except BaseException as error:
        error.add_note(
            f"Again, and made short: JOBSD_MODEL_EXAMPLES={EXAMPLES} JOBSD_MODEL_SEED={number} JOBSD_MODEL_SHRINK=1"
        )
        raise
