"""The connection that is kept: no answer is ever read as that of another call."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from jobsd.store.connection import AWAY, connect
from jobsd.store.line import Line
from tests.client.proxy import Proxy


@pytest.fixture
async def line(redis_url):
    redis = connect(redis_url, call_timeout_s=5)
    yield Line(redis)
    await redis.aclose()


async def test_calls_are_answered_one_after_the_other(line):
    assert [await line.call("ECHO", str(n)) for n in range(100)] == [str(n).encode() for n in range(100)]


async def test_a_line_holds_one_connection(line, redis):
    before = (await redis.info("clients"))["connected_clients"]
    for _ in range(3):
        await line.call("PING")
    assert (await redis.info("clients"))["connected_clients"] == before + 1


async def test_closing_its_client_closes_it(redis_url, redis):
    client = connect(redis_url)
    line = Line(client)
    await line.call("PING")
    before = (await redis.info("clients"))["connected_clients"]
    await client.aclose()
    while (await redis.info("clients"))["connected_clients"] == before:
        await asyncio.sleep(0.005)


async def test_an_error_of_the_servers_leaves_it_as_it_is(line):
    with pytest.raises(ResponseError, match="unknown command"):
        await line.call("NO-SUCH-COMMAND")
    assert await line.call("ECHO", "next") == b"next"


async def test_after_a_call_that_was_cancelled_the_next_one_gets_its_own_answer(line, redis):
    await line.call("PING")
    waiting = asyncio.create_task(line.call("BLPOP", "list", 0))
    while not (await redis.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0.005)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await redis.rpush("list", "late")
    assert await line.call("ECHO", "own") == b"own"


async def test_after_a_call_that_took_too_long_the_next_one_gets_its_own_answer(redis_url, redis):
    client = connect(redis_url, call_timeout_s=0.05)
    line = Line(client)
    with pytest.raises(AWAY):
        await line.call("BLPOP", "list", 0)
    await redis.rpush("list", "late")
    for _ in range(100):  # as slow as the machine may be
        try:
            answer = await line.call("ECHO", "own")
        except AWAY:
            continue
        break
    assert answer == b"own"
    await client.aclose()


async def test_a_connection_that_the_server_has_closed_is_an_error_once(line, redis):
    await line.call("CLIENT", "SETNAME", "the-line")
    [ours] = [client for client in await redis.client_list() if client["name"] == "the-line"]
    await redis.client_kill_filter(_id=ours["id"])
    with pytest.raises(RedisConnectionError):
        await line.call("PING")
    assert await line.call("ECHO", "again") == b"again"


async def test_a_lost_answer_is_not_read_by_the_next_call(redis_url, tmp_path):
    async with Proxy(redis_url, tmp_path / "proxy.sock") as proxy:
        client = connect(proxy.url)
        line = Line(client)
        await line.call("PING")
        proxy.swallowing = 1
        with pytest.raises(AWAY):
            await line.call("ECHO", "lost")
        assert await line.call("ECHO", "own") == b"own"
        await client.aclose()


async def test_a_call_that_was_cancelled_while_it_connected_again_leaves_nothing_for_the_next(tmp_path):
    answering = asyncio.Event()
    answering.set()
    stalled = asyncio.Event()
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        answers = len(connections)
        while data := await reader.read(65536):
            if not answering.is_set():
                stalled.set()
                await answering.wait()
            for command in data.split(b"\r\n*"):
                writer.write(b"+handshake\r\n" if b"SETINFO" in command else b"+%d\r\n" % answers)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "fake.sock") as server:
        client = connect(f"unix://{tmp_path}/fake.sock")
        line = Line(client)
        assert await line.call("PING") == b"1"
        connections[0].close()
        with pytest.raises(AWAY):
            await line.call("PING")
        answering.clear()
        connecting = asyncio.create_task(line.call("PING"))
        await stalled.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        answering.set()
        assert await line.call("PING") == b"3"
        await client.aclose()
        server.close()
