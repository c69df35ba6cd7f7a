from __future__ import annotations

import pytest

from jobsd.store.jobs import Jobs
from jobsd.store.scripts import Scripts, source
from tests.store.shop import a_job


async def server_ms(redis) -> int:
    seconds, micros = await redis.time()
    return seconds * 1000 + micros // 1000


async def test_a_script_cache_that_was_flushed_is_filled_again_by_the_call_that_misses_it(redis):
    jobs = Jobs(redis)
    assert await jobs.enqueue("client", 1, [a_job("a")]) == [True]
    await redis.script_flush()
    assert await jobs.enqueue("client", 2, [a_job("b")]) == [True]


async def test_the_text_of_a_script_is_sent_once(redis):
    jobs = Jobs(redis)
    await redis.script_flush()
    await redis.config_resetstat()
    for n in range(5):
        await jobs.adopt(f"q{n}", "0")
    calls = await redis.info("commandstats")
    assert (calls["cmdstat_evalsha"]["calls"], calls["cmdstat_eval"]["calls"]) == (5, 1)


async def test_time_is_the_servers_in_milliseconds(redis):
    jobs = Jobs(redis)
    before = await server_ms(redis)
    await jobs.enqueue("client", 1, [a_job("now"), a_job("later", when="+60000")])
    after = await server_ms(redis)
    assert before <= await redis.zscore("jobsd:{main}:default", "now") <= after
    assert before + 60_000 <= await redis.zscore("jobsd:{main}:default", "later") <= after + 60_000


async def test_a_variant_stands_for_the_script_of_its_name(redis):
    scripts = Scripts(redis, {"adopt": "return 'a variant'"})
    assert await scripts.call("adopt", ["key"], []) == b"a variant"


async def test_a_script_that_does_not_exist_is_an_error_and_no_call(redis):
    with pytest.raises(FileNotFoundError):
        await Scripts(redis).call("no-such-script", [], [])


def test_includes_stand_in_the_place_of_their_line():
    text = source("hand_on")
    assert "--@include" not in text
    assert text.index("local function wake(base)") < text.index("wake(KEYS[q])")
