"""Every error that jobsd raises, as one tree.

    JobsdError
    ├── ConfigurationError          nothing was started               exit 2
    │   ├── NotConfiguredError      no address for a server
    │   ├── DisabledError           REDIS_ENABLE=false
    │   ├── SettingsError           a file or variable is wrong
    │   ├── TaskDefinitionError     a task's declaration is wrong
    │   ├── ScheduleDefinitionError a schedule's is
    │   └── HookDefinitionError     a hook's or a dependency's is
    ├── EnqueueError                nothing was stored                exit 1
    │   ├── InvalidArgumentsError   they do not fit the task's signature
    │   ├── InvalidOptionError      an option of the call is wrong
    │   ├── PayloadTooLargeError    over the size limit
    │   ├── UnserializableError     an argument has no JSON form
    │   ├── HeadersTooLargeError    what travels beside the arguments is over the limit
    │   ├── UnserializableHeaderError  a header has no JSON form
    │   ├── StoreFullError          Redis has no memory left
    │   ├── StoreRefusedError       Redis answered with an error
    │   ├── OutboxError             the database of the caller's connection takes no jobs
    │   └── UnknownQueueError       no daemon serves it, and they refuse such queues
    ├── UnreachableError            a server does not answer          exit 3
    ├── UnsuccessfulError           a scheduled job says so           exit 1
    ├── OutsideJobError             it needs a job that runs          exit 1
    ├── WrongLoopError              a client of another event loop    exit 1
    ├── HookError                   a hook broke its rules            exit 1
    ├── DependencyError             a dependency is not open          exit 1
    ├── TransactionError            nothing of it is committed        exit 1
    ├── InDoubtError                nobody can say if it is committed exit 1
    ├── StepError                   a step is not as it must be       exit 1
    ├── JobError                    raised by JobRef.result()         exit 1
    │   ├── JobFailedError          the job ended in the archive
    │   │   └── JobCancelledError   it was cancelled
    │   ├── JobNotFoundError        no trace of the job is left
    │   ├── NotArchivedError        only archived jobs can be run again
    │   ├── KeyHeldError            another job has its unique key
    │   └── NotRunError             a test captured it, and it has not run
    ├── ScheduleError               the schedule is as it was         exit 1
    │   ├── ScheduleNotFoundError   there is none of that name
    │   ├── ScheduleExistsError     there is one of that name
    │   ├── ScheduleOwnedError      settings or code declare it
    │   └── ScheduleBusyError       its last run has not ended
    ├── ReleaseError                the queue stays jobsd's           exit 1
    ├── ReloadError                 daemons go on with the old code   exit 1
    │   └── NoSupervisorError       there is none to reload
    ├── SchemaError                 the ledger's schema is not ours   exit 2
    └── EmbeddedError               an embedded server does not start exit 1

What a task raises to steer (``Retry``, ``SkipRetry``) is no error; see outcome.py.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 10  # names that a message lists
_LONGEST_NAME = 100


class JobsdError(Exception):
    """Root of the tree. ``exit_code`` is what a command ends with."""

    exit_code = 1


class ConfigurationError(JobsdError):
    exit_code = 2


class NotConfiguredError(ConfigurationError):
    """No address of a server is known, and none is guessed."""

    def __init__(self, *, what: str, ways: str) -> None:
        super().__init__(f"no address for {what}: {ways}")
        self.what = what


class DisabledError(ConfigurationError):
    """``REDIS_ENABLE=false``: the queue is switched off on purpose."""

    def __init__(self) -> None:
        super().__init__("the queue is switched off by REDIS_ENABLE=false")


class SettingsError(ConfigurationError):
    """One message for all that is wrong in files and environment."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TaskDefinitionError(ConfigurationError):
    def __init__(self, *, task: str, problem: str) -> None:
        super().__init__(f"task {task!r}: {problem}")
        self.task = task


class ScheduleDefinitionError(ConfigurationError):
    """``problems``: all that is wrong, as (field, sentence); the field is empty where it is none alone."""

    def __init__(self, *, schedule: object, problems: Sequence[tuple[str, str]], place: str = "") -> None:
        told = "; ".join(f"{field}: {problem}" if field else problem for field, problem in problems)
        super().__init__(f"schedule {schedule!r}: {told}{f' ({place})' if place else ''}")
        self.schedule = schedule
        self.problems = tuple(problems)


class HookDefinitionError(ConfigurationError):
    def __init__(self, *, hook: str, problem: str) -> None:
        super().__init__(f"hook {hook}: {problem}")
        self.hook = hook


class EnqueueError(JobsdError):
    """The job was refused; nothing of it was stored."""


class InvalidArgumentsError(EnqueueError):
    def __init__(self, *, task: str, problem: str) -> None:
        super().__init__(f"arguments of {task!r} do not fit its signature: {problem}")
        self.task = task


class InvalidOptionError(EnqueueError):
    exit_code = 2

    def __init__(self, *, option: str, given: object, allowed: str) -> None:
        super().__init__(f"option {option!r} is {given!r}; allowed is {allowed}")
        self.option = option


class PayloadTooLargeError(EnqueueError):
    """The arguments' JSON is over the limit."""

    def __init__(self, *, task: str, size_bytes: int, limit_bytes: int, argument: str, argument_bytes: int) -> None:
        super().__init__(
            f"arguments of {task!r} are {size_bytes:,} bytes of JSON; the limit is {limit_bytes:,} "
            f"(the largest is {argument} with {argument_bytes:,}); pass a reference to the data instead"
        )
        self.task = task
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        self.argument = argument


class UnserializableError(EnqueueError):
    """An argument has no JSON form."""

    def __init__(self, *, task: str, argument: str, type_name: str, cause: str) -> None:
        super().__init__(f"argument {argument} of {task!r} has no JSON form: {cause} (it is a {type_name})")
        self.task = task
        self.argument = argument
        self.type_name = type_name


class HeadersTooLargeError(EnqueueError):
    """What travels with the job beside its arguments is over the size limit."""

    def __init__(self, *, task: str, size_bytes: int, limit_bytes: int, header: str, header_bytes: int) -> None:
        super().__init__(
            f"headers of {task!r} are {size_bytes:,} bytes of JSON; the limit is {limit_bytes:,} "
            f"(the largest is {header!r} with {header_bytes:,})"
        )
        self.task = task
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        self.header = header


class UnserializableHeaderError(EnqueueError):
    """A header, or a context variable that is carried, has no JSON form."""

    def __init__(self, *, task: str, header: str, type_name: str, cause: str) -> None:
        super().__init__(f"header {header!r} of {task!r} has no JSON form: {cause} (it is a {type_name})")
        self.task = task
        self.header = header
        self.type_name = type_name


class StoreFullError(EnqueueError):
    """Redis has no memory left."""

    def __init__(self, *, cause: str) -> None:
        super().__init__(f"Redis has no memory left for jobs: {cause}")


class StoreRefusedError(EnqueueError):
    """Redis answered with an error of its own, such as a queue's key that holds something else."""

    def __init__(self, *, cause: str) -> None:
        super().__init__(f"Redis refused the job: {cause}")


class OutboxError(EnqueueError):
    """The database of the caller's connection has no outbox, or the connection's role may not use it."""

    def __init__(self, *, cause: str, remedy: str) -> None:
        super().__init__(f"the database takes no jobs in a transaction: {cause}; {remedy}")


class UnknownQueueError(EnqueueError):
    """No daemon serves the queue, and the daemons are set to ``unknown_queues = "refuse"``."""

    def __init__(self, *, queue: str, known: Sequence[str]) -> None:
        near = difflib.get_close_matches(queue, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
        super().__init__(f"no daemon serves a queue {queue!r}; {hint}")
        self.queue = queue


class UnreachableError(JobsdError):
    """A server does not answer. ``url`` has its password masked."""

    exit_code = 3

    def __init__(self, *, server: str, url: str, cause: str) -> None:
        super().__init__(f"{server} at {url} is out of reach: {cause}")
        self.server = server
        self.url = url


class UnsuccessfulError(JobsdError):
    """A BaseScheduledJob returned ``success`` false: its attempt has failed, with the message that it returned."""


class OutsideJobError(JobsdError):
    def __init__(self, *, what: str) -> None:
        super().__init__(f"{what} is for the inside of a job, and none runs here")


class WrongLoopError(JobsdError):
    def __init__(self) -> None:
        super().__init__("this Client belongs to another event loop; make one in each loop that enqueues")


class HookError(JobsdError):
    def __init__(self, *, hook: str, problem: str) -> None:
        super().__init__(f"hook {hook}: {problem}")
        self.hook = hook


class DependencyError(JobsdError):
    """A dependency is not open in this process; its worker goes on trying."""

    def __init__(self, *, dependency: str, cause: str) -> None:
        super().__init__(f"dependency {dependency} is not open: {cause}")
        self.dependency = dependency


class TransactionError(JobsdError):
    """A rule of ``ctx.transaction()`` or ``ctx.step_transaction()`` was broken; nothing of it is committed.

    ``for_good``: the next attempt would break it as well, so there is none.
    """

    def __init__(self, problem: str, *, for_good: bool = True) -> None:
        super().__init__(problem)
        self.for_good = for_good


class InDoubtError(JobsdError):
    """A COMMIT was not answered, and Postgres does not say what became of it. The job's next attempt asks again."""

    def __init__(self, *, job_id: str, cause: str) -> None:
        super().__init__(f"nobody can say whether what job {job_id} did is committed: {cause}")
        self.job_id = job_id


class StepError(JobsdError):
    """``for_good``: the next attempt would come to the same, so there is none."""

    def __init__(self, *, step: object, problem: str, for_good: bool = True) -> None:
        super().__init__(f"step {step!r}: {problem}")
        self.step = step
        self.for_good = for_good


class JobError(JobsdError):
    """What became of a job, as its reference tells it."""


class JobFailedError(JobError):
    def __init__(self, *, job_id: str, message: str, error_type: str | None = None) -> None:
        super().__init__(f"job {job_id} failed: {message}")
        self.job_id = job_id
        self.message = message
        self.error_type = error_type


class JobCancelledError(JobFailedError):
    """Somebody cancelled the job; it will not run again by itself."""


class JobNotFoundError(JobError):
    """``queue`` is None where it was looked for in all of them."""

    def __init__(self, *, job_id: str, queue: str | None) -> None:
        where = "any queue" if queue is None else f"queue {queue!r}"
        super().__init__(f"no trace of job {job_id} in {where}: it never was there, or its retention is over")
        self.job_id = job_id


class NotArchivedError(JobError):
    def __init__(self, *, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} is {state}; only archived jobs can be run again")
        self.job_id = job_id


class KeyHeldError(JobError):
    def __init__(self, *, job_id: str) -> None:
        super().__init__(f"job {job_id} cannot run again now: another job has its unique key")
        self.job_id = job_id


class NotRunError(JobError):
    """A test captured the job (jobsd.testing), and nothing has run it."""

    def __init__(self, *, job_id: str, task: str) -> None:
        super().__init__(f"job {job_id} of {task!r} was captured, and nothing runs it but the capture's run()")
        self.job_id = job_id


class ScheduleError(JobsdError):
    """What was asked of a schedule was not done; it is as it was."""


class ScheduleNotFoundError(ScheduleError):
    def __init__(self, *, schedule: str, known: Sequence[str], hint: str = "") -> None:
        shown = schedule[:_LONGEST_NAME]
        near = difflib.get_close_matches(shown, known, 3)
        some = f"{', '.join(known[:_SHOWN])}{', …' if len(known) > _SHOWN else ''}"
        meant = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {some or 'none'}"
        super().__init__(f"there is no schedule {shown!r}; {meant}{f'; {hint}' if hint else ''}")
        self.schedule = schedule


class ScheduleExistsError(ScheduleError):
    def __init__(self, *, schedule: str, declared_in: str | None) -> None:
        where = f", declared in {declared_in}" if declared_in else "; change it by update, or choose another name"
        super().__init__(f"there is a schedule {schedule!r} already{where}")
        self.schedule = schedule


class ScheduleOwnedError(ScheduleError):
    """Who declares a schedule owns it; at run time it can be paused, resumed and triggered."""

    def __init__(self, *, schedule: str, declared_in: str) -> None:
        super().__init__(
            f"schedule {schedule!r} is declared in {declared_in}, and is changed or removed there; a pause works here"
        )
        self.schedule = schedule


class ScheduleBusyError(ScheduleError):
    def __init__(self, *, schedule: str, job_id: str) -> None:
        super().__init__(
            f"schedule {schedule!r} runs already, and its runs may not overlap: job {job_id} has not ended"
        )
        self.schedule = schedule
        self.job_id = job_id


class ReleaseError(JobsdError):
    """A queue that jobsd's workers are at, or that arq could not read, is not handed back to arq."""

    def __init__(self, *, queue: str, cause: str) -> None:
        super().__init__(f"{queue} is not handed back to arq: {cause}")
        self.queue = queue


class ReloadError(JobsdError):
    """A rolling reload did not replace all daemons."""


class NoSupervisorError(ReloadError):
    """No supervisor of this state directory runs on this host."""

    def __init__(self, *, state: str) -> None:
        super().__init__(
            f"no supervisor runs that could reload (looked in {state}); start the daemons with jobsd run --processes N"
        )
        self.state = state


class SchemaError(JobsdError):
    exit_code = 2


class EmbeddedError(JobsdError):
    pass
