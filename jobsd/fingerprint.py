"""Which failures are the same: a short text of an error and its place, from the trace as a person reads it.

What differs between two runs of the same fault is left out: line numbers, where things are installed, how deep a
recursion went, and in messages numbers, ids and quoted texts.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

_DIGEST_BYTES = 8
_LONGEST_CYCLE = 8
_LONGEST_MESSAGE = 500

_CUT = "… (cut)"  # engine/texts.py cuts a long trace at its beginning
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
_HEADER = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(.+)", line \d+(?:, in (.+))?')
_TYPE = re.compile(r"[^\W\d][\w.]*(?=:|$)")
# Of exception groups: the line above each member, and the margin of all that is said in them.
_MEMBER = re.compile(r"\s*\+-[+-]*(?: (?:\d+|\.\.\.) -+)?")
_MARGIN = re.compile(r"^\s*[|+] ?")

_INSTALLED = re.compile(r".*/(?:site|dist)-packages/")
_PYTHONS_OWN = re.compile(r"<frozen |.*/lib/python3\.\d+t?/(?!(?:site|dist)-packages/)")
_HERE = f"{Path(__file__).parent.as_posix()}/"
_OUR_NAME = "jobsd/"

_VARYING = re.compile(
    r"(?<!\w)'[^'\n]*'(?!\w)"
    r'|"[^"\n]*"'
    r"|`[^`\n]*`"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b"
    r"|\d+(?:[.,:]\d+)*"
)


class _Raised(NamedTuple):
    kind: str
    frames: list[str]


def fingerprint(error_type: str, trace: str | None, message: str | None) -> str:
    """Return 16 hex digits, the same for failures of the same error at the same place.

    The exception that was raised last decides, with the type of its direct cause; of a group also its members, however
    many there are of each. Frames of jobsd and of Python's own library count where there are no others. Without
    frames it is the message that tells failures apart.

    >>> fingerprint("KeyError", None, "no order 17") == fingerprint("KeyError", None, "no order 4")
    True
    """
    said = [error_type]
    cause, last = _last_raised(trace or "")
    own, *members = _blocks(last)
    frames = own.frames
    if frames or members:
        said += [f"cause {cause}"] if cause else []
        said += frames
        said += sorted({" ".join(["member", member.kind, *member.frames]) for member in members})
    else:
        said.append(" ".join(_VARYING.sub("…", message or "").split())[:_LONGEST_MESSAGE])
    return blake2b("\n".join(said).encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()


def _last_raised(trace: str) -> tuple[str | None, list[str]]:
    """Return the type of its direct cause, and the lines about the exception that was raised last."""
    cause: str | None = None
    lines: list[str] = []
    for line in trace.splitlines():
        if line == _CAUSE:
            cause, lines = _blocks(lines)[0].kind, []
        elif line == _CONTEXT:
            cause, lines = None, []
        else:
            lines.append(line)
    return cause, lines


def _blocks(lines: list[str]) -> list[_Raised]:
    """Return what the lines tell of: one exception, or a group and its members."""
    blocks: list[list[str]] = [[]]
    grouped = False
    for line in lines:
        if grouped and _MEMBER.fullmatch(line):
            blocks.append([])
            continue
        grouped = grouped or line == f"  + Exception Group {_HEADER}"
        blocks[-1].append(_MARGIN.sub("", line, count=1) if grouped else line)
    first, *members = [_raised(block) for block in blocks]
    return [first, *(member for member in members if member.kind)]


def _raised(lines: list[str]) -> _Raised:
    frames: list[tuple[str, str]] = []
    if lines and lines[0] == _CUT:
        lines = lines[2:]  # the line after it lacks its beginning
    for line in lines:
        if line.endswith(_HEADER):
            frames = []
        elif found := _FRAME.fullmatch(line):
            frames.append((found[1].replace("\\", "/"), found[2] or ""))
        elif line and not line.startswith(" "):
            kind = _TYPE.match(line)
            return _Raised(kind[0].rpartition(".")[2] if kind else "", _places(frames))
    return _Raised("", _places(frames))


def _places(frames: list[tuple[str, str]]) -> list[str]:
    theirs = [frame for frame in frames if not _is_plumbing(frame[0])]
    return _folded([f"{_short(path)} {function}" for path, function in theirs or frames])


def _is_plumbing(path: str) -> bool:
    if _PYTHONS_OWN.match(path) or path.startswith(_HERE):
        return True
    installed = _INSTALLED.match(path)
    return installed is not None and path[installed.end() :].startswith(_OUR_NAME)


def _short(path: str) -> str:
    """Return the path from where things are installed, else its last two parts.

    >>> _short("/srv/venv/lib/python3.12/site-packages/httpx/_client.py"), _short("/srv/app/tasks/mail.py")
    ('httpx/_client.py', 'tasks/mail.py')
    """
    installed = _INSTALLED.match(path)
    return path[installed.end() :] if installed else "/".join(path.split("/")[-2:])


def _folded(places: list[str]) -> list[str]:
    """Return the places with what repeats itself in a row once: a recursion, of up to so many functions.

    >>> _folded(["main", "even", "odd", "even", "odd", "even", "odd", "leaf", "leaf"])
    ['main', 'even', 'odd', 'leaf']
    """
    folded: list[str] = []
    for place in places:
        folded.append(place)
        for length in range(1, min(_LONGEST_CYCLE, len(folded) // 2) + 1):
            if folded[-length:] == folded[-2 * length : -length]:
                del folded[-length:]
                break
    return folded
