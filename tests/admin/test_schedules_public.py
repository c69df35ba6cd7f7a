"""``from jobsd import schedules``: the addresses of the environment, or of the daemon that the process is."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

from jobsd import schedules
from jobsd.errors import InvalidOptionError, NotConfiguredError

NAMES = ("JOBSD_REDIS_URL", "REDIS_HOST", "JOBSD_DATABASE_URL", "DATABASE_URL", "JOBSD_TIMEZONE")


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JOBSD_STATE", str(tmp_path))


async def whole_life() -> list[str]:
    name = await schedules.add("nightly", task="tidy", at="0 3 * * *")
    told = [(await schedules.get(name)).words, str(len(await schedules.next(name, 3)))]
    told += [str(await schedules.pause(name, by="ana")), (await schedules.list())[0].paused_by]
    told += [str(await schedules.resume(name)), str(len(await schedules.history()))]
    await schedules.update(name, at="0 4 * * *")
    told += [(await schedules.get(name)).words]
    with pytest.raises(InvalidOptionError, match="option 'name' is 'x'; allowed is a change of what is not its name"):
        await schedules.update(name, name="x")
    told += [(await schedules.trigger(name, wait=None)).state, str(await schedules.remove(name))]
    for entry in (await schedules.once("tidy", delay="1h"), await schedules.every("tidy", "1h")):
        told.append(str(await schedules.remove(entry)))
    return told


@pytest.mark.parametrize("variable", ["JOBSD_DATABASE_URL", "DATABASE_URL"])
def test_the_environment_says_where_and_each_loop_has_its_own_connections(
    variable, redis_url, ledger_url, monkeypatch, caplog
):
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    monkeypatch.setenv(variable, ledger_url.replace("postgresql://", "postgresql+asyncpg://"))
    monkeypatch.setenv("JOBSD_TIMEZONE", "Asia/Jakarta")
    with caplog.at_level(logging.DEBUG, "asyncio"):
        for before in ("0", "1"):  # what is removed is in the history all the same
            assert asyncio.run(whole_life()) == [
                "at 03:00 every day, Asia/Jakarta", "3", "True", "ana", "True", before,
                "at 04:00 every day, Asia/Jakarta", "accepted", "True", "True", "True",
            ]  # fmt: skip
    assert schedules._open == {}
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_inside_of_a_daemon_its_addresses_are_used(redis_url, ledger_url, monkeypatch):
    monkeypatch.setenv("JOBSD_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr(schedules, "of_daemon", schedules.Addresses(redis_url, ledger_url, "UTC"))
    assert asyncio.run(whole_life())[0] == "at 03:00 every day, UTC"


async def test_where_no_address_is_known_the_ways_to_give_one_are_said():
    with pytest.raises(NotConfiguredError, match=r"no address for Redis: set JOBSD_REDIS_URL \(or REDIS_HOST\)"):
        await schedules.list()
    assert schedules._open == {}


async def test_close_ends_the_connections_and_the_next_question_makes_new_ones(redis_url, monkeypatch):
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    assert await schedules.list() == []
    await schedules.close()
    assert schedules._open == {}
    assert await schedules.list() == []
    await schedules.close()
    await schedules.close()


def test_what_an_expression_says_needs_no_address():
    assert schedules.check("@daily 2:00", zone="Asia/Jakarta").words == "at 02:00 every day, Asia/Jakarta"


def test_importing_it_costs_a_service_neither_redis_nor_postgres():
    code = (
        "import sys; from jobsd import schedules; print({'redis', 'asyncpg', 'cronsim', 'pydantic'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    assert told.stdout == "set()\n"
