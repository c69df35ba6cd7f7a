"""Imports the modules that define the tasks."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jobsd
from jobsd.definition import registry
from jobsd.errors import ConfigurationError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.schedule.job_class import unnamed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.definition import Task


_OURS = Path(jobsd.__file__).parent


class NoTasksError(ConfigurationError):
    """There is nothing that the daemon could run."""


class TaskImportError(ConfigurationError):
    def __init__(self, *, module: str, cause: BaseException) -> None:
        place = ""
        frames = traceback.extract_tb(cause.__traceback__)
        # What was called wrongly says so from inside of us; where it was called is what has to be changed.
        frames = [frame for frame in frames if not Path(frame.filename).is_relative_to(_OURS)] or frames
        if not isinstance(cause, SyntaxError | ModuleNotFoundError) and frames:
            place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
        super().__init__(f"tasks: module {module!r} cannot be imported: {type(cause).__name__}: {cause}{place}")


def see_this_folder() -> None:
    """Let modules of the current folder be imported."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def import_tasks(modules: Sequence[str]) -> Mapping[str, Task[..., Any]]:
    """Import ``modules``, found from the current folder too, and return every task they defined.

    Raises NoTasksError or TaskImportError.
    """
    see_this_folder()
    for module in modules:
        try:
            importlib.import_module(module)
        except ConfigurationError:
            raise
        except Exception as error:
            raise TaskImportError(module=module, cause=error) from error
    if not registry:
        raise NoTasksError(_nothing_in(modules))
    return registry


def warn_of_unnamed() -> None:
    """Say which classes will not run for want of a name."""
    for job_class, why in unnamed():
        log.warning(
            Event.SCHEDULE_UNNAMED,
            job_class=job_class,
            cause=why,
            consequence="it is not scheduled",
            remedy="give it a job_id",
        )


def _nothing_in(modules: Sequence[str]) -> str:
    what = "no module with tasks is named"
    if modules:
        what = f"module {modules[0]} defines" if len(modules) == 1 else f"modules {', '.join(modules)} define"
        what += " no task"
    for job_class, why in unnamed():
        if job_class.startswith(tuple(f"{module}." for module in modules)):
            return f"{what}; {job_class} is not scheduled: {why}"
    return f'{what}; name yours in jobsd.toml (tasks = ["my_tasks"]), in JOBSD_TASKS or with --tasks'
