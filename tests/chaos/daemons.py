"""Real daemons, each ``jobsd run`` in a process of its own with the run's settings file; they write logs as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.embedded import launch
from tests.chaos.halting import HALTS
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.chaos.ground import Ground

_HERE = Path(__file__).resolve().parent
_CHECKOUT = _HERE.parents[1]
_OTHERS_SETTINGS = ("JOBSD_", "REDIS_", "DATABASE_")
_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 40.0
_EXAMINED_WITHIN_S = 60.0
_TAIL_LINES = 20

# A job of these runs may lose its worker several times and is not to be blamed for it.
_SETTINGS = """
tasks = ["{tasks}"]
redis_url = "{redis_url}"
{database}
[worker]
lease = "{lease}"
concurrency = {concurrency}
max_losses = 100
[queues]
default = 1
[records]
migrate = "auto"
[log]
format = "json"
"""


class Addresses(NamedTuple):
    """Without a ``database_url`` nothing is recorded."""

    redis_url: str
    database_url: str | None


class Daemon:
    def __init__(self, process: asyncio.subprocess.Process, log: Path, skew_s: int) -> None:
        self.troubles: list[str] = []
        """How it ended otherwise than it was told to."""
        self.skew_s = skew_s
        """By how much its clock is ahead, if it is altered to be ``skewed``."""
        self.started_s = 0.0
        """When it said so, as ``monotonic`` has it."""
        self._process = process
        self._log = log

    async def started(self) -> None:
        await until(
            lambda: self.count("daemon.started") or self._process.returncode is not None, patience_s=_START_WITHIN_S
        )
        if not self.count("daemon.started"):
            raise AssertionError(f"a daemon ended with exit code {self._process.returncode}:\n{self.tail()}")
        self.started_s = monotonic()

    async def kill(self) -> None:
        if self._process.returncode is not None:
            self._trouble("ended by itself")
            return
        self._process.kill()
        await self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def frozen(self) -> bool:
        """Whether SIGSTOP, or a halt of its own, holds it."""
        try:
            status = Path(f"/proc/{self._process.pid}/stat").read_text("ascii")
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] == "T"

    async def stop(self) -> None:
        """Ask it to end; insist when it does not."""
        if self._process.returncode is not None:
            self._trouble("ended by itself")
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
        if self._process.returncode:
            self._trouble("did not stop in order")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return what it logged of ``event``; the last line of one that was killed may be half."""
        words = f'"{event}"'
        whole = [line for line in self._log.read_text("utf-8").splitlines() if words in line and line.endswith("}")]
        return [line for line in map(json.loads, whole) if line["event"] == event]

    def count(self, event: str) -> int:
        return len(self.lines(event))

    def _trouble(self, what: str) -> None:
        self.troubles.append(f"{self._log.stem} {what} (exit code {self._process.returncode}):\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self._log.read_text("utf-8").splitlines()[-_TAIL_LINES:])


class Daemons:
    """The daemons of a run; ``altered`` names in which ways they differ from jobsd (altered.py), if in any."""

    def __init__(
        self,
        ground: Ground,
        *,
        concurrency: int,
        altered: Sequence[str],
        tasks: str,
        lease: str,
        addresses: Addresses,
        schedules: str,
    ) -> None:
        self.begun = ground.place / "begun"
        self.halts = ground.place / "halts"
        self.halts.mkdir()
        self.all: list[Daemon] = []
        """Those that were killed, too."""
        self.running: list[Daemon] = []
        self._place = ground.place
        self._altered = altered
        self._settings = ground.place / "jobsd.toml"
        redis_url, database_url = addresses
        settings = _SETTINGS.format(
            tasks=tasks,
            concurrency=concurrency,
            lease=lease,
            redis_url=redis_url,
            database="" if database_url is None else f'database_url = "{database_url}"',
        )
        self._settings.write_text(settings + schedules)

    async def start(self, number: int = 1, *, skews_s: Sequence[int] = ()) -> None:
        """Return when so many more run; those that have no skew of these are on time."""
        skews_s = [*skews_s[:number], *[0] * (number - len(skews_s))]
        started = [await self._launch(skew_s) for skew_s in skews_s]
        self.running += started
        await asyncio.gather(*(daemon.started() for daemon in started))

    async def replace(self, daemon: Daemon, *, kill: bool) -> None:
        """Kill it, or let it stop in order, and start another in its place, with the same clock."""
        await (daemon.kill() if kill else daemon.stop())
        self.running.remove(daemon)
        await self.start(skews_s=[daemon.skew_s])

    async def stop(self) -> None:
        running, self.running = self.running, []
        await asyncio.gather(*(daemon.stop() for daemon in running))

    def count(self, event: str) -> int:
        return sum(daemon.count(event) for daemon in self.all)

    def keep(self) -> str:
        """Keep logs and witness beyond the run; return where, in words."""
        kept = Path(tempfile.mkdtemp(prefix="jobsd-chaos-kept-"))
        for file in (*self._place.glob("daemon-*.log"), self.begun):
            shutil.copy(file, kept)
        return f"(logs of the daemons, and what their tasks have told, are kept in {kept})"

    async def examined(self) -> list[str]:
        """Return in words what ``jobsd fsck`` finds, which changes nothing."""
        command = sys.executable, "-m", "jobsd", "fsck", "--json", "--config", str(self._settings)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=self._environment()
        )
        async with asyncio.timeout(_EXAMINED_WITHIN_S):
            out, err = await process.communicate()
        if process.returncode not in {0, 1}:
            return [f"jobsd fsck ended with exit code {process.returncode}:\n{err.decode()}"]
        found = json.loads(out)["problems"]
        return [f"fsck: {each['count']:,} {each['means']}: {each['items'][0]['name']}, …" for each in found]

    def troubles(self) -> list[str]:
        """Return in words who ended otherwise than told, and which services failed of what nobody expected."""
        failed = [line for daemon in self.all for line in daemon.lines("service.failed") if "exception" in line]
        ended = [trouble for daemon in self.all for trouble in daemon.troubles]
        return ended + [f"{line['service']} failed: {line['cause']}" for line in failed]

    async def _launch(self, skew_s: int) -> Daemon:
        program = "tests.chaos.altered" if self._altered else "jobsd"
        log = self._place / f"daemon-{len(self.all) + 1}.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *_tied_to_us(),
                *(sys.executable, "-m", program, "run", "--config", str(self._settings)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self._environment() | {"CHAOS_SKEW_S": str(skew_s)},
                start_new_session=True,  # Ctrl-C is for us alone: we stop it in order
            )
        self.all.append(Daemon(process, log, skew_s))
        return self.all[-1]

    def _environment(self) -> dict[str, str]:
        ours = {name: text for name, text in os.environ.items() if not name.startswith(_OTHERS_SETTINGS)}
        return ours | {
            "CHAOS_BEGUN": str(self.begun),
            HALTS: str(self.halts),
            "CHAOS_ALTERED": " ".join(self._altered),
            "PYTHONPATH": os.pathsep.join((str(_CHECKOUT), str(_HERE))),
        }


def _tied_to_us() -> tuple[str, ...]:
    """Return what to put before a command, so that the kernel kills it should we be killed. It takes it to /."""
    become = Path(launch.__file__).with_name("become.py")
    return sys.executable, "-I", "-S", str(become), "-", "-", str(launch.death_signal(signal.SIGKILL)), str(os.getpid())


@asynccontextmanager
async def some_daemons(
    ground: Ground,
    number: int,
    *,
    concurrency: int = 50,
    altered: Sequence[str] = (),
    tasks: str = "chaos_tasks",
    lease: str = "3s",
    addresses: Addresses | None = None,
    schedules: str = "",
    skews_s: Sequence[int] = (),
) -> AsyncIterator[Daemons]:
    """Yield daemons with the tasks of a module here; ``addresses`` are others than those of the ground's servers.

    ``schedules`` are sections of the settings; ``skews_s`` by how much the first clocks are ahead.
    """
    daemons = Daemons(
        ground,
        concurrency=concurrency,
        altered=altered,
        tasks=tasks,
        lease=lease,
        addresses=addresses or Addresses(ground.redis_url, ground.postgres.url),
        schedules=schedules,
    )
    try:
        await daemons.start(number, skews_s=skews_s)
        yield daemons
    finally:
        await daemons.stop()
