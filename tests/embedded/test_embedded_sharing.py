"""Several processes on one state directory: one owner, the others attached."""

from __future__ import annotations

import os
import signal

from jobsd.embedded import Servers, running_servers
from jobsd.embedded.crew import Crew


async def test_the_second_attaches_and_leaves_the_servers_alone(used_state, embed) -> None:
    owner, attached = embed(used_state, fsync=False), embed(used_state, fsync=False)
    servers = await owner.start()
    assert await attached.start() == servers
    assert owner.owner
    assert not attached.owner

    await attached.stop()
    assert await running_servers(used_state) == servers


async def test_the_attached_takes_over_when_the_owner_stops(used_state, embed, until, valkey, caplog) -> None:
    owner, attached = embed(used_state), embed(used_state)
    servers = await owner.start()
    await attached.start()
    await valkey(servers.redis_url)("SET", "kept", "yes")

    await owner.stop()
    assert not owner.owner
    await until(lambda: "embedded.taken_over" in caplog.messages)
    assert attached.owner
    assert await running_servers(used_state) == servers
    assert await valkey(servers.redis_url)("GET", "kept") == "yes"


async def test_the_attached_takes_over_when_the_owner_is_killed(state, embed, until, run_daemon, caplog) -> None:
    owner = run_daemon("--state", str(state), "--valkey-only")
    said = await owner.ready()
    attached = embed(state, postgres=False)
    await attached.start()
    assert not attached.owner

    owner.kill()
    await until(lambda: "embedded.taken_over" in caplog.messages)
    assert attached.owner
    assert await running_servers(state) == Servers(said["redis_url"], None)


async def test_a_take_over_that_fails_is_tried_again(state, embed, until, monkeypatch) -> None:
    owner, attached = embed(state, postgres=False), embed(state, postgres=False)
    await owner.start()
    await attached.start()
    attempts: list[str] = []

    async def fails_once(self, original=Crew.start) -> None:
        attempts.append("attempt")
        if len(attempts) == 1:
            raise OSError("a passing fault")
        await original(self)

    monkeypatch.setattr(Crew, "start", fails_once)
    await owner.stop()
    await until(lambda: len(attempts) == 2 and attached.owner)


async def test_a_forked_child_does_not_keep_the_locks(state, embed, until, run_daemon) -> None:
    daemon = run_daemon("--state", str(state), "--valkey-only", "--fork")
    forked = (await daemon.ready())["forked"]
    try:
        daemon.kill()
        embedded = embed(state, postgres=False)
        await embedded.start()
        await until(lambda: embedded.owner)  # perhaps as the heir: the child needs a moment to let go
    finally:
        os.kill(forked, signal.SIGKILL)
