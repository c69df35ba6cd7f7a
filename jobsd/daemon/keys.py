"""The keys of settings: which exist, how a file and a variable write them, which was probably meant."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

Key: TypeAlias = tuple[str, ...]

PREFIX = "JOBSD_"
READ_ELSEWHERE = frozenset({"JOBSD_CONFIG", "JOBSD_VALKEY_SERVER", "JOBSD_PG_BINDIR", "JOBSD_EMBEDDED_USER"})
"""Variables that are no settings: they say where to begin, or belong to the embedded servers."""

_BARE = re.compile(r"[A-Za-z0-9_-]+|\*")
_ANY_NAME = "*"  # stands for a name that is the user's choice, such as a queue's


def dotted(key: Key) -> str:
    """Return the key as TOML writes it.

    >>> dotted(("queues", "arq:queue", "weight"))
    'queues."arq:queue".weight'
    """
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in key)


def variable(key: Key) -> str:
    """Return the environment variable of a setting.

    >>> variable(("worker", "concurrency"))
    'JOBSD_WORKER__CONCURRENCY'
    """
    return PREFIX + "__".join(key).upper()


def nearest(key: Key, root: type[BaseModel]) -> Key | None:
    """Return the setting that was probably meant: that name elsewhere, one spelled alike, or a neighbour.

    A table may say what other programs call its keys.
    """
    if meant := getattr(_type_at(root, key[:-1]), "elsewhere", {}).get(key[-1]):
        return (*key[:-1], meant)
    neighbours = [(*key[:-1], name) for name in names_in(root, key[:-1])]
    # Joined by one underscore, because JOBSD_WORKER_TIMEOUT is the slip that everybody makes.
    known = {"_".join(leaf): leaf for leaf in (*leaves(root), *neighbours)}
    if elsewhere := [leaf for leaf in known.values() if leaf[-1] == key[-1]]:
        return elsewhere[0]
    for alike in get_close_matches("_".join(key), known, cutoff=0.75):
        # In a table with a long name everything is alike.
        if known[alike][:-1] != key[:-1] or get_close_matches(key[-1], [known[alike][-1]]):
            return known[alike]
    beside = get_close_matches(key[-1], [name for *_, name in neighbours], n=1)
    return (*key[:-1], beside[0]) if beside else None


def _type_at(root: type[BaseModel], key: Key) -> Any:
    here: Any = root
    for part in key:
        if _is_table(here):
            field = here.model_fields.get(part)
            here = field.annotation if field else None
        else:
            here = get_args(here)[1] if get_origin(here) is dict else None
    return here


def _is_table(type_: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(type_, type) and issubclass(type_, BaseModel)


def names_in(root: type[BaseModel], key: Key) -> list[str]:
    table = _type_at(root, key)
    return list(table.model_fields) if _is_table(table) else []


def field_at(root: type[BaseModel], key: Key) -> FieldInfo | None:
    table = _type_at(root, key[:-1])
    return table.model_fields.get(key[-1]) if key and _is_table(table) else None


def leaves(root: type[BaseModel], above: Key = ()) -> Iterator[Key]:
    here = _type_at(root, above)
    if _is_table(here):
        for name in here.model_fields:
            yield from leaves(root, (*above, name))
    elif get_origin(here) is dict:
        yield from leaves(root, (*above, _ANY_NAME))
    else:
        yield above
