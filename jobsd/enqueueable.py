"""What ``enqueue`` takes, as type checkers see it. Nothing here acts.

Every ``enqueue`` has one signature and no overloads. Of overloads mypy says that none fits the call; of one signature
pyright and mypy both say which argument is wrong, and what it is to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    import typing_extensions

    R = typing_extensions.TypeVar("R", default=Any)
    """What the job returns: Any when the task is given by its name."""

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Enqueueable(Generic[P, R_co]):
    """A task, a task with options, or a job: it takes the arguments ``P``, and the job's result is an ``R_co``."""

    __slots__ = ()


class TaskName(Protocol[P]):
    """A ``str``, and any arguments.

    ``P`` must come from somewhere, or pyright refuses the call. Of the methods that a string has, ``format`` is the
    one that takes any arguments; ``casefold`` tells a string from other things that have a ``format``.
    """

    def format(self, /, *args: P.args, **kwargs: P.kwargs) -> str: ...
    def casefold(self) -> str: ...
