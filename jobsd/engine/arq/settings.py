"""arq's WorkerSettings by its path, as the ``jobsd run`` command names it."""

from __future__ import annotations

import importlib
from typing import Any, cast

import arq.worker

from jobsd.engine.arq.addresses import settings_from, url_of
from jobsd.engine.arq_worker import Worker
from jobsd.errors import ConfigurationError


class WorkerSettingsError(ConfigurationError):
    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


def arguments_of(path: str) -> dict[str, Any]:
    """Import ``path`` and return what it sets of arq's arguments, as arq's own command reads it.

    Raises WorkerSettingsError.
    """
    module, _, name = path.rpartition(".")
    if not module or not name:
        raise WorkerSettingsError(path=path, problem="is not the path of a class, such as shop.tasks.WorkerSettings")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except AttributeError:
        raise WorkerSettingsError(path=path, problem=f"module {module!r} has no {name!r}") from None
    except Exception as error:
        problem = f"module {module!r} cannot be imported: {type(error).__name__}: {error}"
        raise WorkerSettingsError(path=path, problem=problem) from error
    if not isinstance(found, type | dict):
        raise WorkerSettingsError(path=path, problem=f"is {found!r}, and neither a class nor a dictionary")
    return cast("dict[str, Any]", arq.worker.get_kwargs(cast("Any", found)))


def names_redis(arguments: dict[str, Any]) -> bool:
    return any(arguments.get(name) is not None for name in ("redis_settings", "redis_pool"))


def worker_of(path: str, arguments: dict[str, Any], *, redis_url: str | None) -> tuple[Worker, str]:
    """Return the worker and the address of its Redis: the one it names, else ``redis_url``, else arq's default.

    Its process hears signals for it. Raises WorkerSettingsError.
    """
    given: dict[str, Any] = arguments | {"handle_signals": False}
    if redis_url is not None and not names_redis(arguments):
        given["redis_settings"] = settings_from(redis_url)
    try:
        worker = Worker(**given)
    except (RuntimeError, TypeError, ValueError) as error:
        raise WorkerSettingsError(path=path, problem=str(error)) from error
    return worker, url_of(worker.settings_of_redis)
