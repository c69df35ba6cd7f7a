"""Where settings come from: reads every place, lays one over the other, remembers which place had the last word.

From weakest to strongest: the defaults, the TOML file, the plain names that other programs share
(``REDIS_HOST``, ``DATABASE_URL``), ``.env``, the environment, arguments. What a value may be is not decided here.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jobsd.ambient import redis_url_of
from jobsd.daemon.addresses import wrong_parts
from jobsd.daemon.files import find_file, read_dotenv, read_toml
from jobsd.daemon.keys import PREFIX, READ_ELSEWHERE, Key
from jobsd.daemon.layers import Gathered, Given, Origin, Table, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PARTS = ("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_DB")
# Kubernetes sets such variables in every pod beside a service whose name begins with jobsd.
_SERVICE_LINK = re.compile(r"JOBSD(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


def gather(defaults: Table, *, config: Path | None, arguments: Table) -> Gathered:
    """Read every place and lay it over ``defaults``."""
    problems: list[str] = []
    dotenv = _variables(read_dotenv(Path(".env"), problems), ".env")
    environment = _variables(os.environ, "environment")
    either = dotenv | environment
    path, named_by = find_file(config, either.get("JOBSD_CONFIG"))
    strong = [*_settings_among(dotenv), *_settings_among(environment), *_arguments(arguments)]
    gathered = Gathered(tree=defaults, problems=problems, file=path)
    for given in (
        *(_top_level(read_toml(path, named_by, problems), Origin(str(path))) if path else ()),
        *_plain(either, {given.key for given in strong}, problems),
        *strong,
    ):
        gathered.lay(given)
    return gathered


def _top_level(table: Table, origin: Origin) -> Iterator[Given]:
    yield from (Given((name,), value, origin) for name, value in table.items())


def _variables(names: Mapping[str, str | None], place: str) -> dict[str, Variable]:
    """Empty counts as not set: that is what a compose file makes of a variable it only passes on."""
    return {name: Variable(text, Origin(place, name)) for name, text in names.items() if text}


def _settings_among(variables: Mapping[str, Variable]) -> list[Given]:
    """Return what begins with JOBSD_, whole tables before their parts; unknown names too, to be complained about."""
    found = [
        Given(tuple(name.removeprefix(PREFIX).lower().split("__")), _decoded(text), origin)
        for name, (text, origin) in variables.items()
        if name.startswith(PREFIX) and name not in READ_ELSEWHERE and not _is_service_link(name, text)
    ]
    return sorted(found, key=lambda given: len(given.key))


def _decoded(text: str) -> object:
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            return text  # the setting's own check says what it wants
    return text


def _is_service_link(name: str, text: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and "://" in text)


def _plain(either: Mapping[str, Variable], taken: set[Key], problems: list[str]) -> Iterator[Given]:
    """Yield what names without our prefix say, where no stronger place has said it."""
    if enable := either.get("REDIS_ENABLE"):
        yield Given(("redis_enable",), enable.text, enable.origin)
    if ("redis_url",) not in taken and "REDIS_HOST" in either:
        names = {name: either[name].text for name in _PARTS if name in either}
        wrong = [f"{either[name].origin}: {what}" for name, what in wrong_parts(names)]
        problems += wrong
        if not wrong:
            host = names["REDIS_HOST"]
            names["REDIS_HOST"] = f"[{host}]" if ":" in host else host
            yield Given(("redis_url",), redis_url_of(names), either["REDIS_HOST"].origin)
    if ("database_url",) not in taken and (url := either.get("DATABASE_URL")):
        yield Given(("database_url",), url.text, url.origin)


def _arguments(table: Table) -> Iterator[Given]:
    """Yield what was given; whoever gives an address wants it used, whatever switch is off elsewhere."""
    given = _without_none(table)
    if "redis_url" in given:
        given = {"redis_enable": True} | given
    yield from _top_level(given, Origin("argument"))


def _without_none(table: Table) -> Table:
    """None is an option that was not given on the command line."""
    return {
        name: _without_none(cast("Table", value)) if isinstance(value, dict) else value
        for name, value in table.items()
        if value is not None
    }
