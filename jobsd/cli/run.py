"""jobsd run, jobsd dev: the daemon, with the servers it is told or with servers of its own."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path  # noqa: TC003 - typer reads it when the command is made
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobsd.cli.servers import ConfigOption, database_url, redis_url
from jobsd.daemon.logs import configure_arq_logs, configure_logs
from jobsd.daemon.role import Alone, take_role
from jobsd.daemon.settings import load_settings
from jobsd.daemon.tasks import import_tasks
from jobsd.embedded import Embedded, state_directory
from jobsd.errors import NotConfiguredError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from jobsd.daemon.role import Role, Supervised
    from jobsd.daemon.settings import Loaded, Settings

TasksOption = Annotated[
    list[str] | None, typer.Option("--tasks", "-t", metavar="MODULE", help="A module with tasks; may be repeated.")
]
QueuesOption = Annotated[
    str | None, typer.Option("--queues", "-q", metavar="NAMES", help="Serve only these queues: critical,default")
]


def run(
    worker_settings: Annotated[
        str | None, typer.Argument(help="The path of an arq WorkerSettings class: shop.tasks.WorkerSettings")
    ] = None,
    config: ConfigOption = None,
    tasks: TasksOption = None,
    queues: QueuesOption = None,
    burst: Annotated[bool, typer.Option("--burst", help="Of an arq class: end when its queue is empty.")] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", metavar="N", help="Run N daemons under a supervisor.")
    ] = None,
) -> None:
    """Run a daemon against the configured Redis and Postgres, or an arq class as it is."""
    with take_role() as role:
        _run_as(role, worker_settings, config, tasks, queues, burst=burst, processes=processes)


def _run_as(
    role: Alone | Supervised,
    worker_settings: str | None,
    config: Path | None,
    tasks: list[str] | None,
    queues: str | None,
    *,
    burst: bool,
    processes: int | None,
) -> None:
    if worker_settings is not None and (tasks or queues):
        raise SettingsError([f"--tasks and --queues: {worker_settings} says itself what it runs"])
    if burst and worker_settings is None:
        raise SettingsError(["--burst: is for an arq class; name its path"])
    if burst and processes is not None:
        raise SettingsError(["--burst: ends when the queue is empty; with --processes daemons are kept running"])
    loaded = load_settings(config, tasks=tasks or None, processes=processes)
    settings = _served(loaded.settings, queues)
    configure_logs(settings.log.level, settings.log.format)
    role.number_lines()
    if isinstance(role, Alone) and settings.processes is not None and not burst:
        _supervise(settings, settings.processes)
    elif worker_settings is None:
        _forever(_run(loaded, settings, role))
    else:
        _forever(_run_arq(worker_settings, loaded, role, burst=burst))


def _supervise(settings: Settings, processes: int) -> None:
    """Run daemons that get the same arguments as this command."""
    from jobsd.daemon.supervisor import supervise  # noqa: PLC0415 - a single daemon needs none

    code = asyncio.run(supervise(processes, sys.argv[1:], state=state_directory(settings.state)))
    if code:
        raise typer.Exit(code)


async def _run(loaded: Loaded, settings: Settings, role: Role) -> None:
    from jobsd.daemon.main import serve  # noqa: PLC0415 - the engine is not needed by the other commands

    await serve(settings, redis_url=await redis_url(loaded), database_url=await database_url(loaded), role=role)


async def _run_arq(path: str, loaded: Loaded, role: Role, *, burst: bool) -> None:
    from jobsd.daemon.arq_daemon import serve_arq  # noqa: PLC0415 - see _run

    async def find_redis() -> str | None:
        try:
            return await redis_url(loaded)
        except NotConfiguredError:
            return None  # arq's own default then

    settings = loaded.settings
    configure_arq_logs(settings.log.level)
    database = settings.database_url.get_secret_value() if settings.database_url else None
    await serve_arq(path, settings, burst=burst, find_redis=find_redis, database_url=database, role=role)


def dev(
    config: ConfigOption = None,
    tasks: TasksOption = None,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="Where the servers keep their data.")
    ] = None,
) -> None:
    """Run a daemon with a Valkey and a Postgres of its own; a configured address replaces each."""
    loaded = load_settings(config, tasks=tasks or None, state=state)
    configure_logs(loaded.settings.log.level, loaded.settings.log.format)
    import_tasks(loaded.settings.tasks)  # before any server starts: what is wrong here is said first
    _forever(_dev(loaded))


async def _dev(loaded: Loaded) -> None:
    from jobsd.daemon.main import serve  # noqa: PLC0415 - see _run

    settings = loaded.settings
    given_redis = settings.redis_url.get_secret_value() if settings.redis_url else None
    given_database = settings.database_url.get_secret_value() if settings.database_url else None
    own = Embedded(settings.state, valkey=given_redis is None, postgres=given_database is None)
    async with own as servers_owner:
        servers = servers_owner.servers
        redis = given_redis or servers.redis_url
        database = given_database or servers.database_url
        assert redis is not None  # noqa: S101 - one of the two is always there
        if given_database is None:
            settings = settings.model_copy(update={"records": settings.records.model_copy(update={"migrate": "auto"})})
        _tell_addresses(redis, database)
        await serve(settings, redis_url=redis, database_url=database)


def _tell_addresses(redis: str, database: str | None) -> None:
    """Print what another shell needs to reach these servers."""
    lines = [f"export JOBSD_REDIS_URL={shlex.quote(redis)}"]
    if database:
        lines.append(f"export JOBSD_DATABASE_URL={shlex.quote(database)}")
    sys.stdout.write("# another shell reaches these servers with:\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()


def _served(settings: Settings, queues: str | None) -> Settings:
    if queues is None:
        return settings
    names = [name.strip() for name in queues.split(",") if name.strip()]
    unknown = [name for name in names if name not in settings.queues]
    if unknown or not names:
        allowed = ", ".join(settings.queues)
        raise SettingsError(
            [f"--queues: {', '.join(map(repr, unknown or [queues]))} is not among the configured queues: {allowed}"]
        )
    return settings.model_copy(update={"queues": {name: settings.queues[name] for name in names}})


def _forever(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415
    except ModuleNotFoundError:
        asyncio.run(main)
    else:
        uvloop.run(main)
