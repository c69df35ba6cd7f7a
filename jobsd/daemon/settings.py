"""All settings of a daemon: each room's own options, composed, and where each value came from.

settings.py      what can be set, and load_settings(); read this first
cron_options.py  what can be set of a schedule
sources.py       reads the file, .env, the environment and the arguments, and merges them
keys.py          how the keys are written, and which was meant
problems.py      turns what does not fit into sentences
addresses.py     what an address of a server may be; passwords are masked there
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from jobsd.addresses import masked
from jobsd.daemon.addresses import check_postgres, check_redis
from jobsd.daemon.cron_options import CronOptions, ScheduleName, problems_of_schedules
from jobsd.daemon.keys import Key, dotted
from jobsd.daemon.layers import DEFAULT
from jobsd.daemon.problems import problems_of, true_for_a_number
from jobsd.daemon.record_options import RecordOptions
from jobsd.daemon.sources import gather
from jobsd.duration import format_duration
from jobsd.engine.options import QueueOptions, ResourceOptions, WorkerOptions
from jobsd.errors import DisabledError, NotConfiguredError, SettingsError
from jobsd.job import QUEUE_ALLOWED, is_queue_name
from jobsd.limit_options import NAME_ALLOWED, is_limit_name
from jobsd.rate import Rate
from jobsd.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def _module(name: str) -> str:
    if not _MODULE.fullmatch(name):
        msg = f'{name!r} is not a module to import, such as "tasks" or "shop.tasks"'
        raise ValueError(msg)
    return name


def _split(value: object) -> object:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _zone(name: str) -> str:
    zone_named(name)
    return name


def _queue(name: str) -> str:
    if not is_queue_name(name):
        msg = f"is no name for a queue; allowed are {QUEUE_ALLOWED}"
        raise ValueError(msg)
    return name


def _resource(name: str) -> str:
    if not is_limit_name(name):
        msg = f"is no name for a resource; allowed are {NAME_ALLOWED}"
        raise ValueError(msg)
    return name


def _level(value: object) -> object:
    return value.upper() if isinstance(value, str) and value.upper() in get_args(Level) else value


Level: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
ModuleName: TypeAlias = Annotated[str, AfterValidator(_module)]
QueueName: TypeAlias = Annotated[str, AfterValidator(_queue)]
ResourceName: TypeAlias = Annotated[str, AfterValidator(_resource)]
ZoneName: TypeAlias = Annotated[str, AfterValidator(_zone)]
RedisUrl: TypeAlias = Annotated[SecretStr, AfterValidator(lambda url: SecretStr(check_redis(url.get_secret_value())))]
PostgresUrl: TypeAlias = Annotated[
    SecretStr, AfterValidator(lambda url: SecretStr(check_postgres(url.get_secret_value())))
]


class LogOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Annotated[Level, BeforeValidator(_level)] = "INFO"
    format: Literal["auto", "console", "json"] = "auto"
    """auto: for people on a terminal, JSON elsewhere."""


class Settings(BaseModel):
    """What can be set. Made by load_settings(); an instance made by hand reads no file and no environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Annotated[list[ModuleName], BeforeValidator(_split)] = []
    """Modules to import; their tasks are what the daemon can run."""
    timezone: ZoneName = "UTC"
    """The zone in which schedules are read, and hours that name none."""
    redis_url: RedisUrl | None = None
    redis_enable: bool = True
    """REDIS_ENABLE=false switches the queue off without taking its address away."""
    database_url: PostgresUrl | None = None
    """Without it jobs run and leave no record."""
    state: Annotated[Path, AfterValidator(Path.expanduser)] | None = None
    """Where embedded servers keep their data, and supervisors say that they run."""
    unknown_queues: Literal["accept", "refuse"] = "accept"
    """What enqueue does with a queue that no daemon ever served. The daemon that came last decides for all clients."""
    processes: int | None = Field(default=None, ge=1, le=64)
    """Daemons that ``jobsd run`` starts under a supervisor; None is one without."""
    worker: WorkerOptions = WorkerOptions()
    queues: dict[QueueName, QueueOptions] = Field(
        default={
            "critical": QueueOptions(weight=6),
            "default": QueueOptions(weight=3),
            "low": QueueOptions(weight=1),
        },
        min_length=1,
    )
    resources: dict[ResourceName, ResourceOptions] = {}
    """What jobs of several queues share, and how much of it there is."""
    cron: dict[ScheduleName, CronOptions] = {}
    """Schedules that this file declares, by name."""
    records: RecordOptions = RecordOptions()
    log: LogOptions = LogOptions()


_LIMITED = len(("queues", "low"))  # in there, what sets no limit is not worth a line


@dataclass(frozen=True)
class Loaded:
    """Valid settings; ``origins`` says for each dotted key which place had the last word."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None

    def values(self) -> dict[str, object]:
        """Return every setting by its dotted key, as JSON can hold it; passwords are hidden."""
        return {dotted(key): _plain(value) for key, value in _leaves((), self.settings)}


def load_settings(config: Path | None = None, **overrides: object) -> Loaded:
    """Read and check all settings; touches no network.

    ``overrides`` are arguments of a command: sections are dictionaries, None is what was not given.
    Raises SettingsError with everything that is wrong.
    """
    defaults = {"queues": {name: queue.model_dump() for name, queue in Settings().queues.items()}}
    gathered = gather(cast("dict[str, object]", defaults), config=config, arguments=overrides)
    settings = Settings()
    try:
        settings = Settings.model_validate(gathered.tree)
    except ValidationError as error:
        gathered.problems += problems_of(error, Settings, gathered)
    gathered.problems += true_for_a_number(Settings, gathered)
    gathered.problems += problems_of_schedules(gathered)
    if gathered.problems:
        raise SettingsError(gathered.problems)
    origins = {dotted(key): str(gathered.origins.get(key, DEFAULT)) for key, _ in _leaves((), settings)}
    return Loaded(settings=settings, origins=origins, file=gathered.file)


def redis_address(settings: Settings) -> str:
    """Return where Redis is. Raises NotConfiguredError or DisabledError; never guesses localhost."""
    if not settings.redis_enable:
        raise DisabledError
    if settings.redis_url is None:
        ways = (
            "set JOBSD_REDIS_URL=redis://host:6379/0, or REDIS_HOST, or redis_url in jobsd.toml; "
            "jobsd dev starts a server of its own"
        )
        raise NotConfiguredError(what="Redis", ways=ways)
    return settings.redis_url.get_secret_value()


def _leaves(above: Key, value: object) -> Iterator[tuple[Key, object]]:
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                part = getattr(value, name)
                if part is not None or len(above) < _LIMITED:
                    yield from _leaves((*above, name), part)
        case dict() if value:
            for name, part in cast("dict[str, object]", value).items():
                yield from _leaves((*above, name), part)
        case _:
            yield above, value


def _plain(value: object) -> object:
    match value:
        case SecretStr():
            return masked(value.get_secret_value())
        case timedelta():
            return format_duration(value)
        case Path() | Rate():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            return value
