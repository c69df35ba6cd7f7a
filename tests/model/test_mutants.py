"""The machine is worth something only if it sees faults: each of these is put into a script, and it must see it."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine
from tests.store.shop import variants

MOST_EXAMPLES = 400

RECORD = " if ARGV[at + 7] ~= '' then table.insert(records, ARGV[at + 1]) table.insert(records, ARGV[at + 7]) end"
EXISTS = "local taken = redis.call('EXISTS', job, 'arq:result:' .. id) > 0"
SET = "redis.call('SET', job, ARGV[i + 3])"
LIVE = " or redis.call('EXISTS', 'arq:job:' .. id) == 1"
KEPT = " or redis.call('PTTL', 'arq:result:' .. id) == -1"

MUTANTS = {
    "finish takes any mark": ("if marks[i] ~= ARGV[at + 2] or", "if"),
    "finish takes two endings of a lease": (" or seen[marks[i]] then", " then"),
    "extend takes any mark": ("if marks[i] == ARGV", "if true or marks[i] == ARGV"),
    "extend takes a part of the leases for a beat": ("if ARGV[3] == '1' then", "if true then"),
    "progress takes any mark": ("redis.call('GET', 'arq:in-progress:' .. ARGV[1]) ~= ARGV[2]", "false"),
    "claim passes over an active lease": ("local lease = tonumber(leases[i])", "local lease = nil"),
    "claim passes over a pause": ("if paused[q - 1] then empty[q] = true elseif", "if"),
    "claim leaves a retry among those that wait": ("redis.call('ZREM', base .. ':retry', unpack(retried))", ""),
    "claim does not remember its number": ("redis.call('HSET', identity, 'claim', number)", ""),
    "claim answers a number twice with new jobs": ("if tonumber(number) == last then", "if false then"),
    "claim takes a delayed copy for a call": ("or tonumber(number) < last then", "then"),
    "finish does not remember its batch": ("redis.call('HSET', identity, 'finish', batch, 'answers', answer)", ""),
    "finish carries a batch out twice": ("if tonumber(last[1]) == batch then return last[2] end", ""),
    "finish takes a delayed copy for a call": ("if batch < (tonumber(last[1]) or 0) then return '' end", ""),
    "finish forgets the side": ("redis.call('HDEL', base .. ':side', unpack(own.gone))", ""),
    "finish records what it refused": ("answers[i] = 's'", "answers[i] = 's'" + RECORD),
    "finish wakes nobody for a job that waits": ("own.waiting = true", ""),
    "enqueue writes before it knows whether the id is taken": (
        "if fresh[id] or redis.call('EXISTS', job, 'arq:result:' .. id) > 0 then",
        f"{EXISTS} {SET} if fresh[id] or taken then",
    ),
    "enqueue tells nobody of a delayed job": (
        "or fresh[redis.call('ZRANGE', base, 0, 0)[1]] or redis.call",
        "or redis.call",
    ),
    "enqueue does not remember its number": ("'SET', sender, ARGV[2]", "'SET', sender, 0"),
    "enqueue stores the jobs of a number twice": ("if number == last then return answered end", ""),
    "enqueue takes a delayed copy for a call": ("if number < last then return '' end", ""),
    "recover puts a job behind the backlog": ("'ZADD', base, due or now, id", "'ZADD', base, now, id"),
    "recover counts a loss for a live worker": ("if not alive then", "if true then"),
    "recover allows a loss more": ("gone = side.l >= how.max_losses", "gone = side.l > how.max_losses"),
    "recover forgets the mark": ("    redis.call('DEL', key)\n", ""),
    "recover knows no amnesty": ("return now < ends", "return false"),
    "archive forgets the payload": ("  redis.call('DEL', 'arq:job:' .. id)\n", ""),
    "release forgets the parked": ("redis.call('ZREM', parked, unpack(ids))", ""),
    "release gives back what is not parked": ("if tonumber(scores[j] or 0) >= 9e15 then", "if true then"),
    "rerun runs a job beside a live one of its id": (LIVE, ""),
    "rerun forgets that a later job of the id is kept": (KEPT, ""),
    "pause takes a paused queue for a running one": ("'HSETNX'", "'HSET'"),
    "claim leaves a due time to nobody": ("if head > now then keep_watch(shard, base, worker, text, head) end", ""),
    "claim keeps the watch of a full worker": ("      leave_watch(shard, base, worker, text)\n", ""),
    "claim trusts the watch of a dead worker": ("return beat and now - beat < lease_ms", "return true"),
    "claim passes no due time on": ("redis.call('ZCARD', base) > redis.call('ZCARD', base .. ':active')", "false"),
    "rerun forgets the result": ("redis.call('DEL', dead, 'arq:result:' .. id)", "redis.call('DEL', dead)"),
    "trim forgets the results": ("  redis.call('DEL', unpack(results))\n", ""),
}


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


@pytest.mark.parametrize("fault", MUTANTS)
def test_a_fault_is_seen(redis_url, fault, record_property):
    examples = examples_until_seen(redis_url, mutated(*MUTANTS[fault]))
    record_property("examples", examples)
    assert examples is not None
