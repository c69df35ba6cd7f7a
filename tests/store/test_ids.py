from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise

import pytest

from jobsd.clock import now_ms
from jobsd.job import is_job_id
from jobsd.store import ids
from jobsd.store.ids import INCARNATION_LENGTH, IdSource, incarnation_of, new_id

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def ms_of(job_id: str) -> int:
    number = 0
    for character in job_id[:10]:
        number = number * 32 + CROCKFORD.index(character)
    return number


def test_an_id_is_26_characters_that_cannot_be_mistaken_for_one_another():
    for job_id in (new_id() for _ in range(1000)):
        assert len(job_id) == 26
        assert set(job_id) <= set(CROCKFORD)
        assert is_job_id(job_id)


def test_an_id_tells_when_it_was_made():
    before = now_ms()
    job_id = IdSource().next()  # that of the process goes on from the latest time that any test has set
    assert before <= ms_of(job_id) <= now_ms()


def test_ids_of_one_process_rise():
    made = [new_id() for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(made))


def test_ids_rise_within_one_millisecond(monkeypatch):
    monkeypatch.setattr(ids, "now_ms", lambda: 1_800_000_000_000)
    source = IdSource()
    made = [source.next() for _ in range(5000)]
    assert made == sorted(set(made))
    assert {job_id[:10] for job_id in made} == {made[0][:10]}


def test_ids_rise_when_the_clock_goes_back(monkeypatch):
    times = iter([5000, 5001, 4000, 4001, 5001, 5002])
    monkeypatch.setattr(ids, "now_ms", lambda: next(times))
    source = IdSource()
    made = [source.next() for _ in range(6)]
    assert made == sorted(set(made))


def test_an_id_made_later_sorts_later_whatever_process_made_it(monkeypatch):
    times = iter([1_800_000_000_000, 1_800_000_000_001] * 50)
    monkeypatch.setattr(ids, "now_ms", lambda: next(times))
    for _ in range(50):
        assert IdSource().next() < IdSource().next()


def test_threads_that_share_a_source_get_rising_ids_and_none_twice():
    source = IdSource()

    def make(_: int) -> list[str]:
        return [source.next() for _ in range(5000)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    assert all(series == sorted(series) for series in made)
    assert len(set(chain(*made))) == 40_000


def test_sources_of_two_processes_do_not_meet(monkeypatch):
    monkeypatch.setattr(ids, "now_ms", lambda: 1_800_000_000_000)
    sources = [IdSource() for _ in range(100)]
    made = [source.next() for source in sources for _ in range(10)]
    assert len(set(made)) == 1000


@pytest.mark.parametrize("count", [2, 1000])
def test_incarnations_differ_also_within_a_millisecond(monkeypatch, count):
    monkeypatch.setattr(ids, "now_ms", lambda: 1_800_000_000_000)
    source = IdSource()
    made = {incarnation_of(source.next()) for _ in range(count)}
    assert len(made) == count
    assert {len(incarnation) for incarnation in made} == {INCARNATION_LENGTH}
