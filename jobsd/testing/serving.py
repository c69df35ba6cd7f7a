"""The process that has the tests' own Valkey: serves until its standard input ends, with whoever started it.

It says one line: ``url <address>``, or ``error <why not>``.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from jobsd.errors import EmbeddedError


async def serve(state: Path) -> None:
    try:
        from jobsd.embedded import Embedded  # noqa: PLC0415 - the extra may be missing

        async with Embedded(state, postgres=False, fsync=False) as embedded:
            _say(f"url {embedded.servers.redis_url}")
            await asyncio.to_thread(sys.stdin.read)
    except (EmbeddedError, ModuleNotFoundError) as error:
        _say(f"error {' '.join(str(error).split())}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Not pytest's own directory: as root the server runs as another user, who must be able to reach it.
    state = Path(tempfile.mkdtemp(prefix="jobsd-testing-"))
    state.chmod(0o755)
    try:
        asyncio.run(serve(state))
    finally:
        shutil.rmtree(state, ignore_errors=True)
