"""Measure jobsd beside arq: ``python -m benchmarks [--quick] [--rounds N] [--only backlog,latency] [--long]``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

import uvloop

from benchmarks import picture, rounds
from benchmarks.document import DOCUMENT, NoRunError, write
from benchmarks.layouts import LAYOUTS
from benchmarks.report import save
from benchmarks.steps import LONG, STANDARD
from benchmarks.tables import show
from jobsd.errors import JobsdError

RESULTS = Path(__file__).parent / "results"
_INTERRUPTED = 130


async def main(options: argparse.Namespace) -> int:
    """Return the exit code: 1 if anything that was begun did not complete."""
    began = time.monotonic()
    running = asyncio.current_task()
    assert running
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    only = options.only + [LONG] * (options.long and LONG not in options.only)
    drawn = picture.drawable(only)
    if drawn and (missing := picture.missing()):
        _say(missing)
        drawn = False
    number = options.rounds or (1 if options.quick else 3)
    run = await rounds.run(number, only, _say, quick=options.quick, tcp=options.tcp)
    kept = save(run, options.to)
    _say(f"took {time.monotonic() - began:.0f} s\n")
    show(run)
    _say(f"all figures: {kept}")
    if drawn and picture.draw(run, kept.with_suffix(".png")):
        _say(f"picture:     {kept.with_suffix('.png')}")
    return 1 if run["failures"] else 0


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _measures(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in LAYOUTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(LAYOUTS)}")
    return names


def _rounds(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_rounds, help="how often everything is measured (3; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="less of everything, in under two minutes")
    parser.add_argument(
        "--only", type=_measures, default=STANDARD, metavar="MEASURE,…", help=f"of {', '.join(LAYOUTS)}"
    )
    parser.add_argument("--long", action="store_true", help="a backlog of a million as well, for some minutes more")
    parser.add_argument("--tcp", action="store_true", help="reach Valkey by TCP, instead of by its socket")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="where figures and picture go")
    parser.add_argument(
        "--write-docs", action="store_true", help=f"measure nothing: put the last whole run's figures into {DOCUMENT}"
    )
    return parser.parse_args()


def _write_docs(folder: Path) -> int:
    try:
        written = write(folder)
    except NoRunError as error:
        _say(str(error))
        return 1
    _say("\n".join(f"written: {path}" for path in written))
    return 0


if __name__ == "__main__":
    chosen = _options()
    try:
        code = _write_docs(chosen.to) if chosen.write_docs else uvloop.run(main(chosen))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("interrupted; the servers are stopped")
        code = _INTERRUPTED
    except JobsdError as error:
        _say(str(error))
        code = 1
    sys.exit(code)
