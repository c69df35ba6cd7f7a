"""A process that embeds servers, for the tests to kill: says on stdout when they answer, stops at the end of stdin."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from jobsd.embedded import Embedded, launch


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path)
    parser.add_argument("--valkey-only", action="store_true")
    parser.add_argument("--no-death-signal", action="store_true", help="as on macOS")
    parser.add_argument("--ignore-interrupt", action="store_true", help="drain rather than end at Ctrl-C")
    parser.add_argument("--fork", action="store_true", help="leave a forked child behind")
    return parser.parse_args()


def fork_a_sleeper() -> int:
    child = os.fork()
    if child == 0:
        signal.pause()
    return child


async def main(options: argparse.Namespace) -> None:
    if options.no_death_signal:
        launch.death_signal = lambda _: 0
    if options.ignore_interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    async with Embedded(options.state, postgres=not options.valkey_only) as embedded:
        said = {
            "owner": embedded.owner,
            "redis_url": embedded.servers.redis_url,
            "database_url": embedded.servers.database_url,
            "forked": fork_a_sleeper() if options.fork else None,
        }
        print(json.dumps(said), flush=True)  # noqa: T201 - this is how it speaks
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(parse()))
