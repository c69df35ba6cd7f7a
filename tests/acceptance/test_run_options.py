"""What a daemon serves: ``jobsd run --queues``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobState

if TYPE_CHECKING:
    from redis.asyncio import Redis


@pytest.mark.parametrize("option", ["--queues", "-q"])
async def test_a_daemon_serves_the_queues_it_is_told_with_their_weights_and_no_other(
    daemon: Any, redis_url: str, redis: Redis, option: str
) -> None:
    async with Client(redis_url) as client:
        left = await client.enqueue("add", a=0, b=0, _queue="low")
        one = daemon("run", option, "critical, default")
        assert one.wait_for("daemon.started")["queues"] == {"critical": 6, "default": 3}
        for n in range(3):  # each claim asks for more slots than there are jobs: one of low would have been among them
            for queue in ("critical", "default"):
                assert await (await client.enqueue("add", a=n, b=1, _queue=queue)).result(30) == n + 1
        assert await left.status() is JobState.PENDING
        assert await redis.smembers("jobsd:{main}::queues") >= {b"jobsd:{main}:critical", b"jobsd:{main}:default"}
        assert one.terminate() == 0
        assert await left.status() is JobState.PENDING


@pytest.mark.parametrize(
    ("given", "named"),
    [("critical,defualt", "'defualt'"), ("nowhere,critical,defualt", "'nowhere', 'defualt'"), (" , ", "' , '")],
)
async def test_a_queue_that_is_not_configured_ends_with_2_and_one_plain_message(
    daemon: Any, redis: Redis, given: str, named: str
) -> None:
    one = daemon("run", "--queues", given)
    assert one.wait() == 2
    (text,) = one.raw
    assert f"--queues: {named} is not among the configured queues: critical, default, low" in text
    assert await redis.dbsize() == 0
