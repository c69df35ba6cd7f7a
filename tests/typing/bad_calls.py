"""Calls that are wrong. ``# E: 7``: both type checkers report this line, at the argument ``7``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from good import Settings, count, mailer, send, settings

from jobsd import Client, Context, JobRef, PlainContext, enqueue, enqueue_many
from jobsd.testing import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd import JobRequest


async def arguments_of_enqueue() -> None:
    await enqueue(send, 7)  # E: 7
    await enqueue(send, "ann", subject=7)  # E: 7
    await enqueue(send, None, copies=2)  # E: None
    await enqueue(send)  # E: enqueue(send)
    await enqueue(send, subject="Hi")  # E: enqueue(send, subject="Hi")
    await enqueue(send, "ann", "Hi", 2)  # E: 2
    await enqueue(send, "ann", subjekt="Hi")  # E: subjekt="Hi"
    await enqueue(send, "ann", to="bob")  # E: to="bob"
    await enqueue(send, "ann", _delay="5m")  # E: _delay="5m"
    await enqueue(count, 7)  # E: 7
    await enqueue(count)  # E: enqueue(count)
    await enqueue(
        send,
        "ann",
        subject="Hi",
        copies="2",  # E: "2"
    )


async def arguments_after_options() -> None:
    await enqueue(send.opts(delay="5m"), 7)  # E: 7
    await enqueue(send.opts(delay="5m"))  # E: enqueue(send.opts(delay="5m"))
    await enqueue(send.opts(delay="5m"), "ann", subjekt="Hi")  # E: subjekt="Hi"
    await enqueue(count.opts(delay="5m"), 7)  # E: 7


async def arguments_elsewhere(client: Client, ctx: Context, plain: PlainContext) -> None:
    await client.enqueue(send, 7)  # E: 7
    await client.enqueue(send, "ann", copies="2")  # E: "2"
    await client.enqueue(count.opts(retries=0), 7)  # E: 7
    await client.enqueue(count)  # E: client.enqueue(count)
    await ctx.enqueue(send, 7)  # E: 7
    await ctx.enqueue(send, "ann", subjekt="Hi")  # E: subjekt="Hi"
    plain.enqueue(count, 7)  # E: 7
    plain.enqueue(count.opts(retries=0), text=7)  # E: 7


def arguments_of_a_job() -> None:
    send.job(7)  # E: 7
    send.job()  # E: send.job()
    send.job("ann", "Hi", 2)  # E: 2
    send.job("ann", subjekt="Hi")  # E: subjekt="Hi"
    count.job(7)  # E: 7
    send.opts(delay="5m").job("ann", copies="2")  # E: "2"


async def what_is_enqueued(client: Client, ctx: Context, plain: PlainContext) -> None:
    await enqueue(7)  # E: 7
    await enqueue(print)  # E: print
    await enqueue(b"mail:send")  # E: b"mail:send"
    await enqueue(send.job("ann"), 7)  # E: 7
    await enqueue(send("ann", "bob"))  # E: send("ann", "bob")
    await client.enqueue(None)  # E: None
    await ctx.enqueue([send])  # E: [send]
    plain.enqueue(7)  # E: 7


async def what_are_many(client: Client) -> None:
    async def later() -> AsyncIterator[JobRequest[int]]:
        yield count.job(7)  # E: 7
        yield send.job("ann")  # E: send.job("ann")

    await enqueue_many([send.job("ann"), send.job(7)])  # E: 7
    await enqueue_many(send.job(len(text)) for text in ("a", "b"))  # E: len(text)
    await enqueue_many([send])  # E: [send]
    await enqueue_many(send.job("ann"))  # E: send.job("ann")
    await client.enqueue_many(["mail:send"])  # E: ["mail:send"]
    await client.enqueue_many(later)  # E: later


def options_of_a_call() -> None:
    send.opts(dealy="5m")  # E: dealy="5m"
    send.opts(delay=5)  # E: 5
    send.opts(at="2030-01-01")  # E: "2030-01-01"
    send.opts(retries="3")  # E: "3"
    send.opts("low")  # E: "low"
    send.opts(hours="22:00-06:00")  # E: hours="22:00-06:00"


async def results(ref: JobRef[int]) -> None:
    number: int = await (await enqueue(send, "ann")).result()  # E: await (await enqueue(send, "ann")).result()
    print(number + 1)
    (await ref.result()).upper()  # E: upper
    print(await ref.result() + "1")  # E: await ref.result() + "1"
    words: JobRef[str] = await enqueue(count, "text")  # E: await enqueue(count, "text")
    print(words)
    refs = await enqueue_many([count.job("text")])
    texts: list[JobRef[str]] = refs  # E: refs
    print(texts)
    await ref.result(timeout=[5])  # E: [5]


async def awaits_forgotten(client: Client, ctx: Context, ref: JobRef[int]) -> None:
    enqueue(send, "ann")  # E: enqueue(send, "ann")
    client.enqueue(count, "text")  # E: client.enqueue(count, "text")
    ctx.enqueue(send.job("ann"))  # E: ctx.enqueue(send.job("ann"))
    enqueue_many([count.job("text")])  # E: enqueue_many([count.job("text")])
    ref.result()  # E: ref.result()
    send(ctx, "ann")  # E: send(ctx, "ann")
    enqueue(send, "ann").id  # E: id
    ref.result().bit_length()  # E: bit_length


async def direct_calls(ctx: Context, plain: PlainContext) -> None:
    await send(ctx, 7)  # E: 7
    await send(ctx)  # E: send(ctx)
    count(plain, text=7)  # E: 7
    await count(plain, "text")  # E: count(plain, "text")
    words: str = count(plain, "text")  # E: count(plain, "text")
    print(words)


async def what_is_used(ctx: Context, plain: PlainContext) -> None:
    wrong: Settings = ctx.use(mailer)  # E: ctx.use(mailer)
    print(wrong)
    ctx.use(send)  # E: send
    ctx.use(Settings)  # E: Settings
    plain.use(settings).greting  # E: greting


async def tests_in_place() -> None:
    await run(send, 7)  # E: 7
    words: str = await run(count, "text")  # E: await run(count, "text")
    print(words)
