"""The course of the demo. Exit codes: 0 all went as promised, 1 it did not, 128 + n ended by signal n."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from demo import CHECKOUT, DemoError, heed_cancellation
from demo.daemon import Daemon, a_daemon
from demo.ground import Ground, a_ground
from demo.outcome import by_task, check_export, count_lines, differences, recorded
from demo.report import print_addresses, print_good, print_places, print_table, promises_kept
from demo.screen import Screen
from demo.service import Service
from demo.shop import open_shop
from demo.view import View
from jobsd import Client
from jobsd.errors import JobsdError
from jobsd.store.connection import AWAY

if TYPE_CHECKING:
    from collections.abc import Coroutine

_JOBS_WITHIN_S = 60.0


async def demo(screen: Screen, state: Path, *, keep: bool) -> None:
    """Run it all. Raises DemoError or JobsdError; whatever the end is, nothing is left running."""
    async with AsyncExitStack() as stack:
        with screen.step("servers") as say:
            ground = await stack.enter_async_context(a_ground(state, screen.note))
            say(await ground.versions())
        with screen.step("shop") as say:
            shop = await open_shop(ground.pool)
            say(f"{len(shop.orders):,} orders with {len(shop.order_lines):,} lines, copied into Postgres")
        with screen.step("daemon") as say:
            daemon = await stack.enter_async_context(a_daemon(ground))
            await daemon.started()
            say(f"jobsd run, process {daemon.pid}")
        service = Service(await stack.enter_async_context(Client(ground.redis_url)))
        await _day(screen, ground, daemon, service)
        print_places(screen, ground, await _judge(screen, ground, service), further=not keep)
        if keep:
            print_addresses(screen, ground)
            await _until_interrupted(daemon)


async def _day(screen: Screen, ground: Ground, daemon: Daemon, service: Service) -> None:
    """Let the service enqueue while the daemon works, and show it, until every job has ended."""

    async def enqueue() -> None:
        with screen.step("enqueue", spin=False) as say:
            await service.work()
            say(f"{len(service.expected):,} jobs, each an awaited call")

    view = View(screen, ground, service)
    try:
        async with asyncio.timeout(_JOBS_WITHIN_S), asyncio.TaskGroup() as both:
            both.create_task(enqueue())
            both.create_task(view.until_ended(daemon))
    except TimeoutError:
        raise DemoError(f"after {_JOBS_WITHIN_S:g} s not every job has ended: {view}; see {ground.log}") from None
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _judge(screen: Screen, ground: Ground, service: Service) -> Path:
    """Print what Postgres has recorded; return the exported file. Raises DemoError for what is not as promised."""
    heed_cancellation()
    last = await recorded(ground, service.expected)
    print_table(screen, await by_task(ground))
    if problems := list(differences(service.expected, last)):
        raise DemoError("\n".join(problems))
    result = await service.exported()
    lines = await asyncio.to_thread(count_lines, Path(result["path"]))
    if problems := list(check_export(result, lines)):
        raise DemoError("\n".join(problems))
    for promise in promises_kept(service.expected, last, lines):
        print_good(screen, promise)
    return Path(result["path"])


async def _until_interrupted(daemon: Daemon) -> None:
    try:
        while True:
            heed_cancellation()
            daemon.check()
            await asyncio.sleep(0.2)
    except asyncio.CancelledError:
        return  # that is how it ends


async def _unless_signalled(main: Coroutine[None, None, None]) -> int:
    """Run ``main`` and return its exit code. The first signal cancels it; a further one hastens nothing."""
    task = asyncio.create_task(main)
    caught: list[int] = []

    def cancel(number: int) -> None:
        if not caught:
            task.cancel()
        caught.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, cancel, number)
    try:
        await task
    except asyncio.CancelledError:
        return 128 + caught[0]
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="A small shop's day on a real daemon.")
    parser.add_argument("--keep", action="store_true", help="leave it running for other shells until Ctrl-C")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", default=CHECKOUT / ".demo", help="where everything is kept (.demo)"
    )
    options = parser.parse_args()
    screen = Screen()
    began = monotonic()
    try:
        code = asyncio.run(_unless_signalled(demo(screen, options.state.resolve(), keep=options.keep)))
    except (DemoError, JobsdError, *AWAY) as error:
        Console(stderr=True).print(Text.assemble(("\nThe demo failed. ", "bold red"), str(error)), soft_wrap=True)
        return 1
    screen.print(f"\n[dim]Everything is stopped again, after {monotonic() - began:.1f} s.[/]")
    return code


if __name__ == "__main__":
    sys.exit(main())
