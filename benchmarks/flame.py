"""Where a worker's time goes: a flame graph of one that works through a backlog.

``python -m benchmarks.flame [--recording] [--jobs N] [--to FILE.svg]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.backlog import CONCURRENCY
from benchmarks.filling import TEXT, fill_jobsd
from benchmarks.ground import a_ground
from benchmarks.jobsd_worker import noop
from benchmarks.processes import CHECKOUT

_RATE = 500
_WITHIN_S = 120.0


async def main(jobs: int, to: Path, *, recording: bool) -> int:
    """Return the exit code."""
    profiler = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if profiler is None:
        print("py-spy is missing: pip install -e '.[dev]'", file=sys.stderr)
        return 1
    async with a_ground() as ground:
        await ground.clear()
        await fill_jobsd(ground, (noop.job(number, TEXT) for number in range(jobs)))
        options = {
            "redis_url": ground.redis_url,
            "database_url": ground.database_url if recording else None,
            "jobs": jobs,
            "concurrency": CONCURRENCY,
            "within_s": _WITHIN_S,
        }
        worker = [sys.executable, "-m", "benchmarks.jobsd_worker", json.dumps(options)]
        watch = [
            profiler,
            "record",
            "--rate",
            str(_RATE),
            "--gil",
            "--function",
            "--format",
            "flamegraph",
            "--output",
            str(to),
        ]
        ended = await asyncio.to_thread(_run, [*watch, "--", *worker])
    if ended.returncode:
        print(ended.stdout + ended.stderr, file=sys.stderr)
        print("py-spy could not follow the worker: it needs the right to trace its own children", file=sys.stderr)
        return 1
    found = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    print(f"{found['ended']:,} jobs, {jobs / found['seconds']:,.0f} a second while it was watched: {to}")
    return 0


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=_WITHIN_S, check=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flame", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200_000, help="how many (200,000)")
    parser.add_argument("--recording", action="store_true", help="with records carried into Postgres")
    default = Path(__file__).parent / "results" / "flame.svg"
    parser.add_argument("--to", type=Path, default=default, metavar="FILE", help="an SVG")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _options()
    chosen.to.parent.mkdir(exist_ok=True)
    sys.exit(asyncio.run(main(chosen.jobs, chosen.to.resolve(), recording=chosen.recording)))
