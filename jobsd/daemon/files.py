"""The files that settings are read from: the TOML file, looked for in its places, and .env."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsd.daemon.layers import Table, Variable

LOOKED_FOR = (Path("jobsd.toml"), Path("config/jobsd.toml"))
_SYNTAX_ERROR = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)


def find_file(config: Path | None, variable: Variable | None) -> tuple[Path | None, str]:
    """Return the settings file and what names it; one that is merely found has no name, and none is fine."""
    if config:
        return config, "--config"
    if variable:
        return Path(variable.text).expanduser(), str(variable.origin)
    return next((path for path in LOOKED_FOR if path.is_file()), None), ""


def read_toml(path: Path, named_by: str, problems: list[str]) -> Table:
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text)
    except FileNotFoundError:
        problems.append(f"{path}: no such file; it is named by {named_by}")
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{path}: is not UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}: {_place_first(str(error), text)}")
    return {}


def _place_first(message: str, text: str) -> str:
    found = _SYNTAX_ERROR.fullmatch(message)
    if not found:
        return message
    lines = text.split("\n")
    line, column = found["line"] or len(lines), found["column"] or len(lines[-1]) + 1
    return f"line {line}, column {column}: {found['what'][:1].lower()}{found['what'][1:]}"


def read_dotenv(path: Path, problems: list[str]) -> dict[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - most have no such file, and it is slow to import

    try:
        return dotenv_values(path)
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{path}: is not UTF-8 text")
    return {}
