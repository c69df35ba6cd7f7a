"""Runs both type checkers over the samples, as somebody does who has installed jobsd, and reads what they report."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 100
SAMPLES = Path(__file__).parent
_MYPY_LINE = re.compile(r"(?P<file>[^:]+):(\d+):(\d+):(\d+):(\d+): (?P<kind>\w+): (?P<text>.*)")
# mypy marks the whole call, decorated function or attribute, and names what is wrong with it in words.
_OF_THE_WHOLE = ("[call-arg]", "[type-var]", "[attr-defined]", "[misc]")


class Report(NamedTuple):
    """What one checker says of ``(line, column)`` to ``(line, column)``, the first is 1 and the end is included."""

    file: str
    start: tuple[int, int]
    end: tuple[int, int]
    text: str

    def is_at(self, line: int, first: int, last: int) -> bool:
        """Say whether it points to these columns: begins and ends there, or is mypy's word on the whole around them."""
        if (line, first) <= self.start and self.end <= (line, last):
            return True
        return self.text.endswith(_OF_THE_WHOLE) and self.start <= (line, first) and (line, last) <= self.end


def project(folder: Path) -> list[Path]:
    """Copy the samples to a folder, away from the settings of this repository."""
    return [Path(shutil.copy(sample, folder)) for sample in (SAMPLES / "good.py", *sorted(SAMPLES.glob("bad_*.py")))]


def pyright(folder: Path) -> list[Report]:
    settings = {"typeCheckingMode": "strict", "include": ["*.py"], "reportUnusedExpression": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    said = _run(folder, ["basedpyright", "--outputjson", "--pythonpath", sys.executable])
    return [
        Report(
            Path(found["file"]).name,
            (found["range"]["start"]["line"] + 1, found["range"]["start"]["character"] + 1),
            (found["range"]["end"]["line"] + 1, found["range"]["end"]["character"]),
            found["message"],
        )
        for found in json.loads(said)["generalDiagnostics"]
        if found["severity"] == "error"
    ]


def mypy(folder: Path, files: list[Path]) -> list[Report]:
    options = ["--strict", "--show-error-end", "--no-pretty", "--hide-error-context", "--cache-dir", ".mypy_cache"]
    names = [file.name for file in files]
    said = _run(folder, ["mypy", "--python-executable", sys.executable, *options, *names])
    found = [match for line in said.splitlines() if (match := _MYPY_LINE.fullmatch(line))]
    assert found, said
    return [
        Report(match["file"], (int(match[2]), int(match[3])), (int(match[4]), int(match[5])), match["text"])
        for match in found
        if match["kind"] == "error"
    ]


def _run(folder: Path, command: list[str]) -> str:
    program = Path(sys.executable).with_name(command[0])
    ended = subprocess.run(
        [program, *command[1:]], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert ended.returncode == 1, f"{command[0]} found nothing, or failed: {ended.stdout}{ended.stderr}"
    return ended.stdout
