"""What the measures take for granted of both systems, and one of them as somebody runs it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from arq import create_pool
from arq.connections import RedisSettings
from arq.constants import default_queue_name, job_key_prefix
from arq.jobs import deserialize_job_raw

from benchmarks.filling import TEXT, fill_arq

CHECKOUT = Path(__file__).parents[2]
_WITHIN_S = 90


async def test_arqs_jobs_are_put_in_as_its_client_puts_them_in(redis, redis_url):
    async def last():
        [(job_id, score)] = await redis.zrange(default_queue_name, -1, -1, withscores=True)
        key = job_key_prefix + job_id.decode()
        *call, enqueued = deserialize_job_raw(await redis.get(key))
        return {
            "call": call,
            "due": score - enqueued,
            "id": len(job_id),
            "minutes": round(await redis.pttl(key) / 60_000),
            "keys": await redis.dbsize(),
        }

    await fill_arq(redis, "noop", [(1, TEXT)])
    ours = await last()
    await redis.flushdb()
    pool = await create_pool(RedisSettings.from_dsn(redis_url))
    await pool.enqueue_job("noop", 1, TEXT)
    await pool.aclose()
    assert ours == await last()


@pytest.mark.slow
async def test_a_run_prints_its_table_and_leaves_one_file(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "unkept", "--to", str(tmp_path)]
    environment = {**os.environ, "NO_COLOR": "1"}
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "CPU per job beside arq's: Valkey, no results" in ended.stdout
    [kept] = tmp_path.iterdir()
    run = json.loads(kept.read_text("utf-8"))
    assert run["figures"]["unkept"].keys() == {"jobsd", "arq"}
    assert run["targets"]
    assert run["failures"] == []
