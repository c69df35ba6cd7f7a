"""A job that was captured, and the list of them that a test looks at."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, cast

from jobsd.definition import Task, registry
from jobsd.enqueueable import R_co
from jobsd.job import JobRequest, JobState
from jobsd.testing.differences import differences, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.enqueueable import Enqueueable, P, R
    from jobsd.hooks import Dependency
    from jobsd.job import JobOptions
    from jobsd.store.jobs import NewJob

_MOST = 1000


class CapturedJob(Generic[R_co]):
    """One call of ``enqueue`` of which nothing was stored. It equals ``task.job(…)`` of the same call.

    Arguments are compared by the names of their parameters, and as JSON where they differ otherwise; options by what
    they mean ("5m" is a timedelta of five minutes).
    """

    def __init__(self, request: JobRequest[R_co], job: NewJob) -> None:
        self.request = request
        self.payload = job.payload
        """What would travel."""
        self.id = job.id
        self.state = JobState.SCHEDULED if job.when.partition(" ")[0] else JobState.PENDING
        """What ``JobRef.status`` says: completed or archived when it has been run."""
        self.progress: list[tuple[int, int]] = []
        """What the task said of its progress, when it was run: (done, total) of each call."""
        self.result: R_co | None = None
        self.error: BaseException | None = None

    @property
    def task(self) -> str:
        """The task's name."""
        return self.request.task

    @property
    def queue(self) -> str:
        return self.request.queue

    @property
    def options(self) -> JobOptions:
        return self.request.options

    @property
    def headers(self) -> Mapping[str, Any]:
        """What a hook has given it to travel beside the arguments."""
        return self.request.headers or {}

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that were given, by the names of their parameters. Those of a task unknown here by place."""
        return arguments_of(self.request)

    @property
    def waits(self) -> bool:
        """It has neither been run nor cancelled."""
        return self.state in {JobState.PENDING, JobState.SCHEDULED}

    async def run(self) -> R_co:
        """Run it in place; see ``jobsd.testing.run``."""
        from jobsd.testing.running import run  # noqa: PLC0415 - a capture alone needs no engine

        return await run.captured(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CapturedJob | JobRequest):
            return not _differences(self, other)
        return NotImplemented

    __hash__ = None  # pyright: ignore[reportAssignmentType] - it equals requests, which have none

    def __repr__(self) -> str:
        return text_of(self.request, self.arguments)


class CapturedJobs(list[CapturedJob[Any]]):
    """What was captured, in the order of the calls. An ordinary list: it compares, counts, and can be cleared."""

    def __eq__(self, other: object) -> bool:  # so that mypy lets a list of requests be compared with it
        return super().__eq__(other)

    __hash__ = None

    def of(self, task: Enqueueable[P, R] | str) -> list[CapturedJob[R]]:
        """Return those of one task."""
        name = _name_of(task)
        return [job for job in self if job.task == name]

    def only(self, task: Enqueueable[P, R] | str) -> CapturedJob[R]:
        """Return the one job of a task. Raises AssertionError, which shows what there is, if there is not one."""
        found = self.of(task)
        if len(found) != 1:
            number = "not enqueued" if not found else f"enqueued {len(found)} times"
            raise AssertionError(f"{_name_of(task)} was {number}; {self.shown()}")
        return found[0]

    async def run(
        self,
        *,
        at_most: int = _MOST,
        shared: Mapping[str, Any] | None = None,
        dependencies: Mapping[Dependency[Any], Any] | None = None,
    ) -> None:
        """Run in place what was captured, and what that enqueues: in the order of the calls, whatever their delay.

        Raises what the first raises that fails. Raises AssertionError when ``at_most`` have run and there are more.
        """
        from jobsd.testing.capturing import captured_by  # noqa: PLC0415 - it fills what is defined here
        from jobsd.testing.running import run  # noqa: PLC0415 - a capture alone needs no engine

        given = run.given(shared=shared, dependencies=dependencies)
        ran = 0
        with captured_by(self):
            while job := next((job for job in self if job.waits), None):
                if ran == at_most:
                    raise AssertionError(
                        f"{at_most:,} jobs have run, and there are more: does {job.task} enqueue itself?"
                    )
                ran += 1
                await given.captured(job)

    def shown(self) -> str:
        """Return all of them, one a line, for a message."""
        return "\n  ".join(["captured were:", *map(repr, self)]) if self else "nothing was captured"


def explained(left: object, right: object) -> list[str] | None:
    """Return lines for pytest on why two calls, or two lists of them, are not equal; None if they are not all ours."""
    if _is_call(left) and _is_call(right):
        return [f"{_text(left)} == {_text(right)}", "", *_differences(left, right)]
    if not isinstance(left, list) or not isinstance(right, list):
        return None
    lefts, rights = cast("list[Any]", left), cast("list[Any]", right)
    if not all(map(_is_call, lefts + rights)) or not any(isinstance(call, CapturedJob) for call in lefts + rights):
        return None
    lines = [
        f"job {n}: {line}" for n, pair in enumerate(zip(lefts, rights, strict=False), 1) for line in _differences(*pair)
    ]
    if len(lefts) != len(rights):
        lines.append(f"the left has {len(lefts)}, the right has {len(rights)}")
    return [f"[{', '.join(map(_text, lefts))}] == [{', '.join(map(_text, rights))}]", "", *lines]


def _is_call(value: object) -> bool:
    return isinstance(value, CapturedJob | JobRequest)


def _text(call: Any) -> str:
    request = _request_of(call)
    return text_of(request, arguments_of(request))


def _request_of(call: Any) -> JobRequest[Any]:
    return cast("JobRequest[Any]", call.request if isinstance(call, CapturedJob) else call)


def _differences(left: Any, right: Any) -> list[str]:
    """Return in what two calls differ; the captured one comes first, whichever side it stands on."""
    if not isinstance(left, CapturedJob):
        left, right = right, left
    mine, theirs = _request_of(left), _request_of(right)
    return list(differences(mine, arguments_of(mine), theirs, arguments_of(theirs)))


def arguments_of(request: JobRequest[Any]) -> dict[str, Any]:
    """Return the arguments of a call by name; where the task is not known, or does not take them, by place."""
    task = registry.get(request.task)
    if task is not None:
        signature = inspect.signature(task.function)
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
        try:
            return dict(signature.bind(*request.args, **request.kwargs).arguments)
        except TypeError:  # enqueued by name, and never checked
            pass
    return {f"argument {n}": value for n, value in enumerate(request.args, 1)} | request.kwargs


def _name_of(task: Enqueueable[Any, Any] | str) -> str:
    if isinstance(task, str):
        return task
    if isinstance(task, Task):
        return task.name
    raise TypeError(f"it is a task or a task's name that names jobs, not {task!r}")
