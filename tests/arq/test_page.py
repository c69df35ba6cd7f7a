"""docs/arq.md: its modules run, and answer what it shows."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "arq.md").read_text("utf-8")
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SHOWN = dict(re.findall(r"^```console\n\$ python (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
_PATIENCE_S = 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("worker", "client"),
    [
        ("json_shop.WorkerSettings", "buy.py"),
        ("shop.WorkerSettings", "buy.py"),  # arq's defaults read JSON too
        ("shop.WorkerSettings", "buy_with_jobsd.py"),
    ],
)
async def test_what_the_page_shows_is_what_comes(office, redis_url, tmp_path, worker, client) -> None:
    for name, source in FILES.items():
        (tmp_path / name).write_text(source, "utf-8")
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("JOBSD_", "REDIS_", "DATABASE_"))}
    env = kept | {"JOBSD_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT), "JOBSD_STATE": str(tmp_path / "none")}
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "jobsd", "run", worker]
        serving = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        answered = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, client],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
        assert answered.stdout == SHOWN[client], answered.stderr + (tmp_path / "log").read_text("utf-8")
        if worker.startswith("shop"):
            await until(lambda: office.redis.get("swept"))
    finally:
        serving.terminate()
        assert await asyncio.to_thread(serving.wait, _PATIENCE_S) == 0, (tmp_path / "log").read_text("utf-8")


def test_every_module_of_the_page_is_run() -> None:
    assert FILES.keys() == {"shop.py", "json_shop.py", *SHOWN}
