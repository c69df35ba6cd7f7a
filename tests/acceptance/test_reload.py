"""`jobsd reload`: the daemons run new code one after another, and nobody who waits for a job notices.

ACCEPTANCE_RELOADS, 1 unless said otherwise, is how often it is done under load.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import Client, JobRequest
from tests.acceptance.supervised import pid_of, started, write_shop
from tests.acceptance.witness import BASE, until

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

pytestmark = pytest.mark.slow

_RELOADS = int(os.environ.get("ACCEPTANCE_RELOADS", "1"))
_LONGEST_GAP_S = 2.0
_SHORT_S, _LONG_S = 0.05, 0.5
_BATCH = [_SHORT_S] * 195 + [_LONG_S] * 5

# The beginning of a module whose import lasts until the test says go.
_WAITS = """
import pathlib, time
pathlib.Path("here").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def shop(daemon: Any, tmp_path: Path) -> Any:
    """Return a function that runs a command of jobsd with the tasks of shop.py, which is there in its old version."""
    write_shop(tmp_path, "old")

    def run(*args: str, **env: str) -> Any:
        return daemon(*args, **({"JOBSD_STATE": str(tmp_path / "state"), "JOBSD_TASKS": "shop"} | env))

    return run


def ready(shop: Any, processes: int, **env: str) -> Any:
    one = shop("run", "--processes", str(processes), **env)
    one.wait_for("daemon.ready", processes=processes)
    return one


async def version(redis_url: str) -> str:
    async with Client(redis_url) as client:
        return await (await client.enqueue("version")).result(30)


@pytest.mark.timeout(180 + 60 * _RELOADS)
async def test_under_load_nothing_is_lost_nothing_runs_twice_and_there_is_no_pause(
    shop: Any, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    one = ready(shop, 4, JOBSD_WORKER__CONCURRENCY="10", JOBSD_LOG__LEVEL="INFO")
    ids: list[str] = []
    gaps: list[float] = []
    async with Client(redis_url) as client:

        async def fill() -> None:
            if await redis.zcard(BASE) < 500:
                calls = (JobRequest("count", (seconds,), {}, "default") for seconds in _BATCH)
                ids.extend([reference.id for reference in await client.enqueue_many(calls)])

        async def ended(reloading: Any) -> bool:
            await fill()
            return reloading.process.poll() is not None

        for number in range(1, _RELOADS + 1):
            await fill()
            await until(lambda: redis.llen("ends"))
            write_shop(tmp_path, "new" * number)
            began_at = time.time()
            reloading = shop("reload")
            await until(lambda: ended(reloading))  # noqa: B023 - awaited here
            assert reloading.wait() == 0, reloading.raw
            assert reloading.raw[0].startswith(f"reloaded 4 daemons of supervisor {one.process.pid} in ")
            ends = sorted(float(line.split()[0]) for line in await redis.lrange("ends", 0, -1))
            ends = [began_at, *(at for at in ends if at > began_at), time.time()]
            gaps += [after - before for before, after in itertools.pairwise(ends)]
        await until(lambda: _empty(redis))
    effects = {job.decode(): int(count) for job, count in (await redis.hgetall("effects")).items()}
    assert effects == dict.fromkeys(ids, 1)
    assert max(gaps) < _LONGEST_GAP_S
    assert await version(redis_url) == "new" * _RELOADS
    assert one.count("daemon.started") == 4 + 4 * _RELOADS
    assert one.count("job.lost") == one.count("job.retried") == 0
    assert one.terminate() == 0
    print(f"longest gap {max(gaps):.3f} s over {len(ids)} jobs")  # noqa: T201 - seen with -s


async def _empty(redis: Redis) -> bool:
    return await redis.zcard(BASE) == 0


async def test_a_module_that_cannot_be_imported_stops_the_reload_and_the_old_code_goes_on(
    shop: Any, redis_url: str, tmp_path: Path
) -> None:
    one = ready(shop, 2)
    write_shop(tmp_path, "broken", first="import nothing_of_that_name")
    reloading = shop("reload")
    assert reloading.wait() == 1
    cause = "module 'shop' cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert reloading.raw == [
        f"jobsd: supervisor {one.process.pid} did not reload: daemon 1: tasks: {cause}; the old code goes on"
    ]
    failed = one.wait_for("reload.failed")
    assert (failed["level"], failed["cause"]) == ("error", f"daemon 1: tasks: {cause}")
    assert await version(redis_url) == "old"
    assert one.count("daemon.died") == one.count("daemon.draining") == 0
    write_shop(tmp_path, "mended")
    assert shop("reload").wait() == 0
    assert await version(redis_url) == "mended"


async def test_a_reload_that_is_asked_for_during_a_reload_is_one_more_afterwards(
    shop: Any, redis_url: str, tmp_path: Path
) -> None:
    one = ready(shop, 1)
    write_shop(tmp_path, "second", first=_WAITS)
    one.process.send_signal(signal.SIGHUP)
    await until((tmp_path / "here").exists)
    write_shop(tmp_path, "the third")
    one.process.send_signal(signal.SIGHUP)
    one.process.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    await until(lambda: one.count("reload.ended") == 2)
    assert await version(redis_url) == "the third"
    assert one.terminate() == 0
    assert one.count("reload.started") == 2


async def test_a_stop_during_a_reload_wins(shop: Any, tmp_path: Path) -> None:
    one = ready(shop, 2)
    write_shop(tmp_path, "never", first=_WAITS)
    reloading = shop("reload")
    await until((tmp_path / "here").exists)
    assert one.terminate() == 0
    assert reloading.wait() == 1
    assert one.count("daemon.stopped") == 2
    assert one.count("daemon.replaced") == 0
    assert one.count("daemon.killed") == 0, "the one that was starting was told too"


async def test_a_daemon_that_dies_during_a_reload_is_started_anew(
    shop: Any, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    one = ready(shop, 2)
    write_shop(tmp_path, "new", first=_WAITS)
    one.process.send_signal(signal.SIGHUP)
    await until((tmp_path / "here").exists)
    os.kill(pid_of(started(one, 2)[0]), signal.SIGKILL)
    one.wait_for("daemon.died", daemon=2)
    (tmp_path / "go").touch()
    one.wait_for("reload.ended")
    assert await version(redis_url) == "new"
    assert one.terminate() == 0
    assert one.count("daemon.stopped") >= 3, "each that was replaced, and the two of the end"


async def test_where_the_working_folder_is_a_link_the_new_release_is_run(
    shop: Any, redis_url: str, tmp_path: Path
) -> None:
    release, current = tmp_path / "release", tmp_path / "current"
    release.mkdir()
    write_shop(release, "the new release")
    current.symlink_to(tmp_path)
    one = ready(shop, 1, PWD=str(current))
    current.unlink()
    current.symlink_to(release)
    assert await version(redis_url) == "old"
    one.process.send_signal(signal.SIGHUP)
    one.wait_for("reload.ended")
    assert await version(redis_url) == "the new release"


def test_without_a_supervisor_there_is_one_clear_message(shop: Any, tmp_path: Path) -> None:
    alone = shop("run")
    alone.wait_for("daemon.ready")
    reloading = shop("reload")
    assert reloading.wait() == 1
    looked = f"looked in {tmp_path / 'state'}"
    assert reloading.raw == [
        f"jobsd: no supervisor runs that could reload ({looked}); start the daemons with jobsd run --processes N"
    ]
    assert shop("reload", "--timeout", "5").wait() == 2
