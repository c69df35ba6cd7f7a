"""How far a schedule has come, and what a store keeps of it. The same JSON in Redis and in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobsd.schedule.definition import Schedule
    from jobsd.store.jobs import NewJob


class State(NamedTuple):
    """What is known of a schedule's past. Instants are epoch ms of the store's server."""

    cursor: int
    """All due times up to here are decided."""
    anchor: int
    """When it was first declared: intervals are counted from here."""
    runs: int = 0
    """Due times that became a job; what is triggered by hand is not counted."""
    waiting: tuple[int, ...] = ()
    """Due times that wait for the run before to end, the earliest first."""
    last_job: str = ""
    """The job of the latest run, as "<id> <incarnation>", and the queue it is in."""
    last_queue: str = ""
    last_due: int | None = None
    paused_at: int | None = None
    paused_by: str = ""
    resumed_at: int | None = None
    """Up to here, from ``paused_from`` on, it was paused: what was due meanwhile is passed over."""
    paused_from: int | None = None

    def to_wire(self) -> dict[str, Any]:
        defaults = State._field_defaults
        return {
            name: list(self.waiting) if name == "waiting" else value
            for name, value in self._asdict().items()
            if name not in defaults or value != defaults[name]
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Return it. Raises TypeError for what this version cannot read."""
        known = {name: value for name, value in wire.items() if name in cls._fields}
        known["waiting"] = tuple(known.get("waiting", ()))
        for name, value in known.items():
            if not _is_sound(name, value):
                msg = f"{name} is {value!r}"
                raise TypeError(msg)
        return cls(**known)


def _is_sound(name: str, value: object) -> bool:
    """Say whether it is what State has under this name."""
    match name:
        case "last_job" | "last_queue" | "paused_by":
            return isinstance(value, str)
        case "waiting":
            return isinstance(value, tuple) and all(type(one) is int for one in cast("tuple[Any, ...]", value))
        case "cursor" | "anchor" | "runs":
            return type(value) is int
        case _:
            return value is None or type(value) is int


class Entry(NamedTuple):
    """A schedule as a store keeps it. ``version`` rises with each change of any of it."""

    schedule: Schedule
    state: State
    version: int
    declared_by: str = ""
    """The fingerprint of the declaration it is part of; '' for run-time entries."""
    declared: bool = True
    """Whether a daemon that declares it so is alive, or it is of run time."""
    last_is_live: bool = False
    """Whether the job of ``last_job`` has not ended, as far as the store knows.

    Of one that came through the outbox Redis may know better (RedisSchedules.live).
    """


class Ended(NamedTuple):
    """How the last job of a schedule has ended, and at what instant as far as it is known."""

    outcome: str
    at: int | None = None


class Fired(NamedTuple):
    """A due time that becomes a job. ``manual``: somebody asked for it."""

    due: int
    job: NewJob
    manual: bool = False


class Passed(NamedTuple):
    """Due times, ``first`` to ``last``, that became none, and why: one of REASONS, with words perhaps."""

    first: int
    last: int
    due_times: int
    reason: str


class Change(NamedTuple):
    """What is to become of an entry if it is still in ``version``."""

    name: str
    version: int
    state: State
    fired: Sequence[Fired] = ()
    passed: Sequence[Passed] = ()
    waits: Sequence[int] = ()
    """Due times that are noted as waiting."""
    carried: Sequence[Past] = ()
    """What became of due times in Redis, while Postgres was away."""
    tell: bool = False
    """Whether all daemons are to look at it again soon: it was paused, or the like."""


class Looked(NamedTuple):
    now: int
    """The server's time, epoch ms."""
    entries: dict[str, Entry]
    unread: dict[str, str] = {}  # noqa: RUF012 - nobody writes to it
    """Names of what this version cannot read, of a later one perhaps, and why."""


class Beat(NamedTuple):
    now: int
    """The server's time, epoch ms."""
    entries: str
    """Another text after entries were added, removed, declared otherwise, paused or resumed."""
    others: str
    """Another text after the last daemon of another declaration has gone, or the first has come."""


class Past(NamedTuple):
    """A line of a schedule's history: a due time and what came of it. Instants are epoch ms."""

    name: str
    due: int
    state: str
    """``fired``, ``passed`` or ``waiting``."""
    reason: str
    due_times: int
    job_id: str
    manual: bool
    decided_at: int
    started_at: int | None = None
    """Of its first attempt."""
    finished_at: int | None = None
    outcome: str | None = None
    """Of its latest attempt, as the ledger has it; None: none is recorded yet."""
    attempts: int = 0
    message: str | None = None
    last: int | None = None
    """The latest of ``due_times``, as far as the store tells."""
    live: bool = False
    """Whether its job has not ended, as far as the store knows; outcome and message are of an attempt before then."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Return it; what a later version has added is passed over."""
        return cls(**{name: value for name, value in wire.items() if name in cls._fields})


class Store(Protocol):
    """Where schedules are kept, and judged: Postgres where there is one, else Redis.

    Every method raises what its server raises: UnreachableError (Postgres), errors of redis.
    """

    async def declare(
        self, schedules: Sequence[Schedule], fingerprint: str, *, at_start: bool, age_ms: int = 0
    ) -> None:
        """Write them down, with the daemon's sign of life. At a start the daemon's word counts; later only where no
        daemon is alive that declares something else. A run-time entry of the same name becomes the daemon's.

        ``age_ms`` is the time since the daemon's start, for a store that has forgotten it. What has another time than
        before, or was disabled, goes on from now.
        """
        ...

    async def look(self, names: Sequence[str] | None = None) -> Looked:
        """Return the entries of these names, or all."""
        ...

    async def standing(self) -> dict[str, str]:
        """Return all names, each with a text that is another after what Beat.entries tells of has happened to it."""
        ...

    async def apply(self, changes: Sequence[Change]) -> set[str]:
        """Write each change whose entry is in its version still, with its jobs, and return the names of those."""
        ...

    async def beat(self, fingerprint: str, age_ms: int = 0) -> Beat:
        """Say that a daemon of this declaration is alive, and hear whether there is news.

        ``age_ms`` is the time since its start, for a store that has forgotten it.
        """
        ...

    async def fired(self, dues: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return which of these due times, (name, epoch ms), became a job, as far as the ledger knows."""
        ...

    async def put(self, schedule: Schedule, *, version: int | None) -> bool:
        """Write a new run-time entry, or replace the one in this ``version``; False: the name is taken, or it moved on.

        Its past is kept where it is replaced. Raises NotConfiguredError where there is no Postgres.
        """
        ...

    async def remove(self, name: str) -> bool: ...

    async def history(
        self, name: str | None, limit: int, *, since: int | None = None, passed: bool = False
    ) -> list[Past]:
        """Return what came of due times from ``since`` on, epoch ms, the latest first; ``passed``: of those alone that
        were passed over. Of what was passed over in a row the latest counts.
        """
        ...
