"""What daemons say of limits that somebody might miss: replaced by another's file, or never given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.acceptance.witness import until, workers_are

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def test_a_daemon_whose_file_says_other_limits_replaces_them_and_says_so(daemon: Any, redis: Redis) -> None:
    first = daemon(JOBSD_QUEUES__DEFAULT__RATE="5/10s")
    await until(lambda: workers_are(redis, 1))
    second = daemon(JOBSD_QUEUES__DEFAULT__RATE="7/10s")
    line = second.wait_for("limits.changed", limits_of="default")
    assert (line["before"], line["now"]) == (":5:10000:::||", ":7:10000:::||")
    third = daemon(JOBSD_QUEUES__DEFAULT__RATE="7/10s")
    await until(lambda: workers_are(redis, 3))
    for one in (first, second, third):
        assert one.terminate() == 0
    assert not first.count("limits.changed") + third.count("limits.changed")


async def test_a_resource_that_tasks_use_and_no_file_limits_is_said_at_the_start(daemon: Any, redis: Redis) -> None:
    limited = daemon(JOBSD_RESOURCES__STRIPE="1")
    unlimited = daemon()
    assert unlimited.wait_for("resource.unlimited")["resource"] == "stripe"
    await until(lambda: workers_are(redis, 2))
    assert not limited.count("resource.unlimited")
    for one in (limited, unlimited):
        assert one.terminate() == 0
