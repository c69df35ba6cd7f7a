"""What limits a queue or a resource: by configuration, at run time, and by configuration again."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tests.store.shop import ids

ONE, TWO, NONE = "1:::::||", "2:::::||", ":::::||"
names = pytest.mark.parametrize("name", ["default", "arq:queue", "r=s"])


async def in_effect(shop, name: str) -> str:
    return (await shop.jobs.looks.limits([name]))[name]


@names
async def test_the_configuration_is_in_effect_until_something_is_set(shop, name):
    assert await shop.jobs.limit(name, "config", ONE) == ONE
    assert await shop.jobs.limit(name, "set", TWO) == TWO
    assert await shop.jobs.limit(name, "config", "3:::::||") == TWO, "a daemon that starts takes nothing back"
    assert await in_effect(shop, name) == TWO
    assert await shop.jobs.limit(name, "reset") == "3:::::||"
    assert await in_effect(shop, name) == "3:::::||"


@names
async def test_nothing_is_left_of_limits_that_are_none(shop, name):
    before = (await shop.everything())[":state"]
    await shop.jobs.limit(name, "config", ONE)
    await shop.jobs.limit(name, "set", TWO)
    await shop.jobs.limit(name, "reset")
    assert await shop.jobs.limit(name, "config", NONE) == ""
    assert (await shop.everything())[":state"] == before


async def test_no_limit_may_be_set_over_one_of_the_configuration(shop):
    await shop.jobs.limit("default", "config", ONE)
    assert await shop.jobs.limit("default", "set", NONE) == ""
    await shop.put("a", "b")
    assert ids(await shop.hand("w1").claim()) == ["a", "b"]


async def test_what_is_set_in_part_keeps_the_rest_of_what_is_in_effect(shop):
    await shop.jobs.limit("default", "config", "1:5:10000:2::|4|22:00-06:00 UTC")
    assert await shop.jobs.limit("default", "set", "*:::*:*:*|*|*") == "1:::2::|4|22:00-06:00 UTC"
    assert await shop.jobs.limit("default", "set", "9:*:*:*:3:1000|*|") == "9:::2:3:1000|4|"
    assert await shop.jobs.limit("default", "reset") == "1:5:10000:2::|4|22:00-06:00 UTC"


@pytest.mark.parametrize("text", ["", "1", "1:::::", "1::::::||", "*:*:*:*:*:*|*"])
async def test_what_is_no_limits_text_is_refused_and_changes_nothing(shop, text):
    await shop.jobs.limit("default", "set", ONE)
    before = await shop.everything()
    with pytest.raises(ResponseError, match="no limits text"):
        await shop.jobs.limit("default", "set", text)
    assert await shop.everything() == before


async def test_limits_of_a_queue_and_of_a_resource_of_its_name_are_two(shop):
    await shop.jobs.limit("s", "set", ONE)
    await shop.jobs.limit("r=s", "set", TWO)
    assert [await in_effect(shop, name) for name in ("s", "r=s")] == [ONE, TWO]


async def test_saying_again_what_is_in_effect_wakes_nobody(shop):
    await shop.put_limited("r=s", "job-1")
    for name in ("default", "r=s"):
        await shop.jobs.limit(name, "config", ONE)
        await shop.tokens()
        await shop.jobs.limit(name, "config", ONE)
        assert await shop.tokens() == 0
