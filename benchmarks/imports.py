"""What a program pays that only enqueues: the whole process, from its start to its end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.processes import CHECKOUT, IncompleteError

if TYPE_CHECKING:
    from benchmarks.ground import Ground
    from benchmarks.report import Report

_WITHIN_S = 20.0

_NOTHING = "pass"
_JOBSD = "from jobsd import enqueue"
_JOBSD_FIRST = "import asyncio; from jobsd import enqueue; asyncio.run(enqueue('bench:noop', 1, 'hello world'))"
_ARQ = "from arq import create_pool"
_ARQ_FIRST = """
import asyncio, os
from arq import create_pool
from arq.connections import RedisSettings
async def main():
    pool = await create_pool(RedisSettings.from_dsn(os.environ["JOBSD_REDIS_URL"]))
    await pool.enqueue_job("noop", 1, "hello world")
    await pool.aclose()
asyncio.run(main())
"""

_PROGRAMS = [
    ("jobsd, imported", _JOBSD),
    ("arq, imported", _ARQ),
    ("jobsd, first job enqueued", _JOBSD_FIRST),
    ("arq, first job enqueued", _ARQ_FIRST),
    ("Python that does nothing", _NOTHING),
]


async def measure(ground: Ground, report: Report, times: int) -> None:
    """The best of ``times`` runs of each, taking turns: what disturbs a process only ever makes it slower."""
    await ground.clear()
    walls: dict[str, list[float]] = {row: [] for row, _ in _PROGRAMS}
    imports: dict[str, list[float]] = {row: [] for row, _ in _PROGRAMS}
    with TemporaryDirectory(prefix="jobsd-bench-pyc-") as compiled:
        environment = _environment(ground, compiled)
        for _, program in _PROGRAMS:
            _run(environment, "-c", program)  # compiles
        for _ in range(times):
            for row, program in _PROGRAMS:
                began = time.perf_counter()
                _run(environment, "-c", program)
                walls[row].append((time.perf_counter() - began) * 1000)
                imports[row].append(_import_ms(_run(environment, "-X", "importtime", "-c", program)))
                await asyncio.sleep(0)  # where a time limit or Ctrl-C gets a word in
    for row, _ in _PROGRAMS:
        report.add("import", row, whole_ms=min(walls[row]), imports_ms=min(imports[row]))


def _environment(ground: Ground, compiled: str) -> dict[str, str]:
    """Both systems' modules are compiled and cached alike, whatever this shell or an installer has done before."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        "PYTHONPYCACHEPREFIX": compiled,
        "JOBSD_REDIS_URL": ground.redis_url,
    }


def _run(environment: dict[str, str], *arguments: str) -> str:
    """Run Python and return what it says on stderr. Blocks: another process's time is what is measured."""
    argv = [sys.executable, *arguments]
    try:
        ended = subprocess.run(
            argv, check=True, capture_output=True, text=True, timeout=_WITHIN_S, env=environment, cwd=CHECKOUT
        )
    except subprocess.CalledProcessError as error:
        raise IncompleteError(f"{arguments[-1]!r} failed:\n{error.stderr}") from None
    except subprocess.TimeoutExpired:
        raise IncompleteError(f"{arguments[-1]!r} has not ended after {_WITHIN_S:g} s") from None
    return ended.stderr


def _import_ms(said: str) -> float:
    """Return the sum of the first column of ``-X importtime``: each module's own time."""
    lines = (line.removeprefix("import time:").split("|")[0].strip() for line in said.splitlines())
    return sum(int(field) for field in lines if field.isdigit()) / 1000
