"""What the ledger is told of a job, and what of its values it does not see: passwords, tokens, what a task names.

A field is a key of a dictionary, a field of a model, or a parameter, also where its argument is given by position.
Names are compared whole, in any case, with - as _. What cannot be judged is left out, and marked.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jobsd.definition import Task
    from jobsd.secret_places import Places

RecordLevel: TypeAlias = Literal["all", "failures", "none"]
"""Which runs of a task the ledger is told of; "failures": of every run that did not succeed."""

REDACTED = "[redacted]"
"""What the ledger shows in the place of a value."""

DEFAULT_FIELDS = ("password", "passwd", "secret", "token", "api_key", "authorization")

_TOO_DEEP = "nested too deeply to be looked through"
_UNKNOWN_TASK = "who wrote this record does not know the task, nor which fields it hides"
_UNREADABLE = "given by position, and the task's signature cannot be read"
_NO_PARAMETER = "given by position, and the task has no parameter there"
_MOST_KNOWN = 2_000
_SCALARS = frozenset({str, int, float, bool, type(None), bytes, Decimal, UUID, dt.datetime, dt.date, dt.timedelta})


def normal(name: str) -> str:
    """Return the name as it is compared.

    >>> normal("API-Key")
    'api_key'
    """
    return name.lower().replace("-", "_")


def withheld(cause: str) -> dict[str, str]:
    """Return what stands in the place of a value that could not be judged."""
    return {"withheld": cause}


class _Names(dict[Any, bool]):
    """Whether a name is a secret's; what was asked is remembered, since a task's values have the same keys again."""

    def __init__(self, secret: Iterable[str]) -> None:
        super().__init__()
        self.secret = frozenset(map(normal, secret))
        self._longest = max(map(len, self.secret), default=0)

    @cached_property
    def mentioned(self) -> re.Pattern[str]:
        """What finds one of the names in a text."""
        spelt = "|".join(re.escape(name).replace("_", "[_-]") for name in sorted(self.secret))
        return re.compile(f"(?<![a-z0-9])(?:{spelt})(?![a-z0-9])" if spelt else "(?!)", re.IGNORECASE)

    def __missing__(self, key: Any) -> bool:
        name = key.value if isinstance(key, enum.Enum) else key
        if isinstance(name, bytes):
            name = name.decode("utf-8", "replace")
        if not isinstance(name, str) or len(name) > self._longest:
            return False
        found = normal(name) in self.secret
        if type(key) is str and len(self) < _MOST_KNOWN:
            self[key] = found
        return found


class RecordPolicy:
    """What the ledger shows of one task's jobs; without ``places`` nobody knows the task's parameters.

    ``redact`` are names of fields. Of a task that is not ``known`` nobody here can tell which fields it hides.
    """

    __slots__ = ("_known", "_marked", "_names", "_places", "looks", "record")

    def __init__(
        self, places: Places | None, redact: Iterable[str], record: RecordLevel = "all", *, known: bool = True
    ) -> None:
        self._known = known
        self.record: RecordLevel = record
        self._names = _Names((*redact, *(places.secret if places else ())))
        self._places = places
        self._marked: frozenset[int] = frozenset()
        self.looks = places is None or places.deep or any(map(self.hides, places.names))
        """Arguments that fit the task may have something in them that is to be hidden."""

    def records(self, outcome: str) -> bool:
        """Tell whether a run that ended so is recorded."""
        return self.record == "all" or (self.record == "failures" and outcome != "succeeded")

    def marking(self, marks: Iterable[str | int]) -> RecordPolicy:
        """Return the policy for one job: its caller gave secrets, in fields of these names or as these arguments."""
        marks = tuple(marks)
        names = (mark for mark in marks if isinstance(mark, str))
        policy = RecordPolicy(self._places, (*self._names.secret, *names), self.record, known=self._known)
        policy._marked = frozenset(mark for mark in marks if isinstance(mark, int))
        policy.looks = True
        return policy

    def hides(self, name: Any) -> bool:
        return self._names[name]

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return {"args": […], "kwargs": {…}} as the ledger may have them. It never raises."""
        if not self._known:
            unseen = withheld(_UNKNOWN_TASK)
            return {"args": [unseen] if args else [], "kwargs": unseen if kwargs else {}}
        return {"args": self._by_position(args), "kwargs": self.value(kwargs)}

    def result(self, value: Any) -> Any:
        """Return a result as the ledger may have it. It never raises."""
        if self._places is not None and self._places.secret_result and value is not None:
            return REDACTED
        return value if type(value) in _SCALARS else self.value(value)

    def value(self, value: Any) -> Any:
        """Return the value itself if there is nothing to hide in it, else a copy with that hidden. It never raises."""
        try:
            return self._shown(value)
        except RecursionError:
            return withheld(_TOO_DEEP)

    def text(self, value: Any, limit: int) -> str:
        """Return a short ``repr`` for a person to read; of what it would show too much, that it is not shown."""
        shown = self.value(value) if type(value) in {dict, list} else value
        text = repr(shown)
        if shown is value and type(value) not in _SCALARS and self._names.mentioned.search(text):
            return f"<{type(value).__name__}, not shown>"
        return text if len(text) <= limit else text[: limit - 1] + "…"

    def spoken(self, text: str) -> Any:
        """Return a text that somebody's ``repr`` has made, if it does not mention what is to be hidden."""
        return withheld("its text mentions what is not shown") if self._names.mentioned.search(text) else text

    def _by_position(self, args: Sequence[Any]) -> list[Any]:
        places = self._places
        if places is None:
            return [withheld(_UNREADABLE)] if args else []
        shown: list[Any] = []
        for n, value in enumerate(args):
            name = places.by_position[n] if n < len(places.by_position) else places.rest
            if name is None:
                shown.append(withheld(_NO_PARAMETER))
                break
            hidden = self._names[name] or n in self._marked
            shown.append(REDACTED if hidden else self.value(value))
        return shown

    def _shown(self, value: Any) -> Any:
        kind = cast("type[Any]", type(value))
        if kind in _SCALARS:
            return value
        if kind is dict:
            return self._shown_fields(cast("dict[Any, Any]", value))
        if kind is list or kind is tuple:
            return self._shown_items(cast("Sequence[Any]", value))
        names = getattr(kind, "_fields", None)
        if names is not None and issubclass(kind, tuple):
            return list(self._shown_fields(dict(zip(names, value, strict=False))).values())
        return self._shown_object(value)

    def _shown_fields(self, fields: dict[Any, Any]) -> dict[Any, Any]:
        # The path of most arguments and results: a look at each key, and a copy only where something is hidden.
        names, found = self._names, None
        for key, value in fields.items():
            if names[key]:
                shown: Any = REDACTED
            elif type(value) in _SCALARS:
                continue
            else:
                shown = self._shown(value)
                if shown is value:
                    continue
            if found is None:
                found = fields.copy()
            found[key] = shown
        return fields if found is None else found

    def _shown_items(self, items: Sequence[Any]) -> Sequence[Any]:
        found: list[Any] | None = None
        for n, value in enumerate(items):
            if type(value) in _SCALARS:
                continue
            shown = self._shown(value)
            if shown is not value:
                if found is None:
                    found = list(items)
                found[n] = shown
        return items if found is None else found

    def _shown_object(self, value: Any) -> Any:
        """Look into a model, or whatever it is, as the JSON that it becomes."""
        from jobsd.secret_values import masked  # noqa: PLC0415 - most values are JSON's already

        try:
            plain = masked(value, self._spoken_of)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - a serializer of the user's may raise anything
            return withheld(f"it has no JSON form: {type(error).__name__}")
        return self._shown(plain) if type(plain) in {dict, list} else plain

    def _spoken_of(self, value: Any) -> Any:
        try:
            text = str(value)
        except Exception as error:  # noqa: BLE001 - as above
            return withheld(f"it has no text: {type(error).__name__}")
        return self.spoken(text.encode("utf-8", "replace").decode())


def policy_of(
    function: Callable[..., Any], redact: Iterable[str], record: RecordLevel = "all", *, checked: bool = True
) -> RecordPolicy:
    """Return the policy for a task of this function. Where its signature cannot be read, nothing is known of it."""
    from jobsd.secret_places import places_of  # noqa: PLC0415 - pydantic's types are not needed to define a task

    redact = tuple(redact)
    try:
        places = places_of(function, _Names(redact).__getitem__, checked=checked)
    except Exception:  # noqa: BLE001 - a function of arq's may be any callable; its jobs have records all the same
        places = None
    return RecordPolicy(places, redact, record)


class Policies(dict[str, RecordPolicy]):
    """The policy of each task by its name, made when it is first asked for; of a name that no task here has, one
    under which no argument is shown.

    ``fields`` are names that hold for every task, beside those that a task names itself.
    """

    def __init__(
        self, tasks: Mapping[str, Task[..., Any]] | None = None, fields: Iterable[str] = DEFAULT_FIELDS
    ) -> None:
        super().__init__()
        self._tasks: Mapping[str, Task[..., Any]] = tasks if tasks is not None else {}
        self._fields = tuple(fields)
        self._unknown = RecordPolicy(None, self._fields, known=False)

    def __missing__(self, name: str) -> RecordPolicy:
        if name not in self._tasks:
            return self._unknown
        task = self._tasks[name]
        redact = (*task.redact, *self._fields)
        policy = self[name] = policy_of(task.function, redact, task.record, checked=task.checked)
        return policy
