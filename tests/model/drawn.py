"""What the machine draws: queues, jobs and what limits them, ways to end a job, and which of several."""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import strategies as st

Wanted: TypeAlias = tuple[str, str | None, str, tuple[str, str]]
"""A job to enqueue: queue, id (None: one that nobody has), when, and what it is limited by with its rule."""
Gate: TypeAlias = tuple[int | str, int | None, int | None]
"""The most, and from when and until when, in ms from now."""
Moves: TypeAlias = list[tuple[int, str, int]]

QUEUES = ("default", "arq:queue")
IDS = tuple(f"job-{n}" for n in range(10))
TASKS = ("x", "y")
REASONS = tuple(f"task:{task}" for task in TASKS)
NO_GATE: Gate = ("", None, None)
BOTH = [(queue, 2, NO_GATE) for queue in QUEUES]
ALL = [(queue, 5, NO_GATE) for queue in QUEUES]

UNIQUE, SHARED, THROTTLE, DEBOUNCE, LANED_DEBOUNCE, AGGREGATE, LANED_AGGREGATE = (f"{n}" * 24 for n in range(1, 8))
LIMITED = [
    ("k=a", ""),
    ("k=a", ""),
    ("k=b:1", ""),
    ("r=s", ""),
    ("k=a,r=s", ""),
    ("k=b:1,r=s", ""),
    ("k=b:1,r=s,r=t", ""),
    (f"k=b:1,r=t,u={UNIQUE}/60000", ""),
]
KEYED = [
    (f"u={UNIQUE}/60000", ""),
    (f"r=s,u={SHARED}/60000", ""),
    ("", f"t={THROTTLE}/60000"),
    ("k=a", f"t={THROTTLE}/60000"),
    (f"o={DEBOUNCE}", "d=1000"),
    (f"k=a,o={LANED_DEBOUNCE}", "d=1000"),
    (f"k=b:1,o={LANED_DEBOUNCE}", "d=0"),
    (f"o={AGGREGATE}", "a=1000/1500/3/{}/400"),
    (f"o={AGGREGATE}", "a=1000/1500/3/{}/130"),
    (f"k=a,o={LANED_AGGREGATE}", "a=700/9000/4/{}/400"),
]
DIGESTS = [UNIQUE, SHARED, THROTTLE, DEBOUNCE, LANED_DEBOUNCE, AGGREGATE, AGGREGATE, LANED_AGGREGATE]
KEY_LIMITS = [":::1::||", ":::1:2:6000||", ":::2:1:6000||"]
QUEUE_LIMITS = ["1:::::||", "2:::::|2|", ":1:6000:::||", ":2:24000:1::||22:00-06:00 UTC", *KEY_LIMITS, ":::::||"]
RESOURCE_LIMITS = ["1:::::||", "1:::::||", "2:::::||", ":1:6000:::||", "2:2:24000:::||", ":::::||"]
CHANGES = ["*:*:*:1:*:*|*|*", ":*:*:*:*:*|*|*", "*:::*:*:*|*|*", "2:*:*:::|*|"]  # what is * is kept
GATES = [(0, None, None), (1, None, None), (2, 0, None), ("", 700, None), ("", None, 0), (1, -1, 1), ("", 0, 20_000)]

queues = st.sampled_from(QUEUES)
resources = st.sampled_from(["r=s", "r=t"])
some_queues = st.sampled_from([QUEUES, QUEUES[::-1], QUEUES[:1]])
ids = st.sampled_from(IDS)
hands = st.integers(0, 2)  # which of the workers that are up
places = st.integers(0, 30)  # which of a list, counted from its end
digests = st.sampled_from(DIGESTS)
whens = st.sampled_from(["", "", "", "+1000", "+20000", "-700"])
limits = st.sampled_from([("", "")] * 12 + LIMITED + KEYED)
some_jobs = st.lists(st.tuples(queues, ids, whens, limits), min_size=1, max_size=4)
limited_jobs = st.lists(st.tuples(queues, st.none(), whens, st.sampled_from(LIMITED)), min_size=2, max_size=6)
some_calls = st.lists(st.tuples(queues, st.none(), whens), min_size=2, max_size=4)
queue_limits = st.tuples(queues, st.sampled_from(QUEUE_LIMITS))
resource_limits = st.tuples(resources, st.sampled_from(RESOURCE_LIMITS))
some_limits = queue_limits | resource_limits
key_limits = st.tuples(queues, st.sampled_from(KEY_LIMITS))
both_limits = st.tuples(resource_limits, key_limits) | st.tuples(some_limits)
kinds_of_jobs = st.sampled_from(["any", "in a lane", "in a lane", "retry", "parked", "unique", "open"])
names = st.sampled_from(
    ["claim", "finish", "enqueue"] * 3
    + ["extend", "progress", "release", "rerun", "trim", "pause", "cancel", "told", "limit"]
)
keeps = st.tuples(st.integers(0, 3), st.sampled_from([0, 20_000]), st.integers(0, 2))
moves = st.tuples(places, st.sampled_from("CRSQPADL"), st.sampled_from([0, 1, 9_000]))
some_moves = st.lists(moves, min_size=1, max_size=4)
gates = st.sampled_from([NO_GATE] * 12 + GATES)
quotas = st.lists(st.tuples(queues, st.integers(0, 3), gates), min_size=1, max_size=2, unique_by=lambda pair: pair[0])
states = st.sampled_from(["delivered", "resisting"])


def nth(of: Any, place: int) -> Any:
    """Return one of a list: many more places are drawn than it has."""
    return of[-1 - place % len(of)]
