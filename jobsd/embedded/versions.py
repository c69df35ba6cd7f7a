"""Which version a program is, by its own word."""

from __future__ import annotations

import asyncio
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER_WITHIN_S = 20
_VERSION = re.compile(r"(?P<product>Valkey|Redis|PostgreSQL)\D*(?P<major>\d+)(?:\.(?P<minor>\d+))?")


@dataclass(frozen=True, order=True)
class Version:
    product: str
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.product} {self.major}.{self.minor}"


def parse_version(text: str) -> Version | None:
    """Return the version in ``text``.

    >>> str(parse_version("Valkey server v=9.1.2 sha=00000000:1 malloc=libc"))
    'Valkey 9.1'
    >>> str(parse_version("postgres (PostgreSQL) 19beta1"))
    'PostgreSQL 19.0'
    """
    found = _VERSION.search(text)
    return Version(found["product"], int(found["major"]), int(found["minor"] or 0)) if found else None


async def version_of(program: Path) -> Version:
    """Ask ``program`` for its version. Raises EmbeddedError when it does not run on this machine."""
    try:
        asked = await asyncio.to_thread(
            subprocess.run,
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWER_WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _does_not_run(program, str(error)) from error
    version = parse_version(asked.stdout)
    if version is None:
        raise _does_not_run(program, asked.stderr.strip() or asked.stdout.strip() or f"exit code {asked.returncode}")
    return version


def _does_not_run(program: Path, cause: str) -> EmbeddedError:
    return EmbeddedError(
        f"{program} does not run on this machine: {cause}\n"
        f"What to do: the wheels are for glibc 2.28 or newer and macOS 11 or newer; elsewhere install Valkey and "
        f"Postgres from the system's packages, or give JOBSD_REDIS_URL and JOBSD_DATABASE_URL."
    )
