"""Programs that the servers' user can reach.

A venv below root's home is closed to ``nobody``. The programs are then copied once into the state directory;
other people's directories are never opened for it.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
from typing import TYPE_CHECKING

from jobsd.embedded.account import open_to_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jobsd.embedded.binaries import Program

_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "*.a", "*.py", "*.pyi", "__pycache__")


def within_reach(program: Program, runtime: Path) -> Path:
    """Return the path of ``program`` that everybody can run; ``runtime`` holds the copy if one is needed."""
    if open_to_all(program.path):
        return program.path
    home = copy_home(program, runtime)
    if not home.is_dir():
        _copy(program, home)
    return home / program.path.relative_to(program.trees[0].parent)


def copy_home(program: Program, runtime: Path) -> Path:
    """Return where the copy of ``program`` lives; another version of it, or another venv's, lives elsewhere."""
    found = program.path.stat()
    identity = f"{program.path} {found.st_size} {found.st_mtime_ns}"
    return runtime / hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16]


def forget_other_copies(programs: Iterable[Program], runtime: Path) -> None:
    """Remove the copies of earlier versions. Only while no server lives: it may still load from one."""
    wanted = {copy_home(program, runtime) for program in programs}
    for copy in set(runtime.iterdir()) - wanted if runtime.is_dir() else ():
        shutil.rmtree(copy)


def _copy(program: Program, home: Path) -> None:
    unfinished = home.with_name(f"{home.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for tree in program.trees:
        if tree.is_dir():
            # Links are followed: some installers link every file of a venv to a cache in the same closed home.
            shutil.copytree(tree, unfinished / tree.name, ignore=_NOT_NEEDED, ignore_dangling_symlinks=True)
        else:
            shutil.copy2(tree, unfinished / tree.name)
    # An install under umask 077 is closed in itself, and its copy would be too.
    for made in (home.parent, unfinished, *unfinished.rglob("*")):
        made.chmod(0o755 if made.is_dir() or made.stat().st_mode & stat.S_IXUSR else 0o644)
    unfinished.rename(home)
