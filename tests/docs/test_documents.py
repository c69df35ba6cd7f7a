"""What the documents name exists: files, commands and their options, make targets, variables, log events."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from jobsd.cli import app
from jobsd.daemon.keys import READ_ELSEWHERE, dotted, leaves, variable
from jobsd.daemon.settings import Settings
from jobsd.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
DEPLOYED = [ROOT / "Dockerfile", ROOT / "config" / "jobsd.service"]

each_document = pytest.mark.parametrize(
    "document", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCUMENTS]
)


def code_in(text: str) -> Iterator[str]:
    """Yield what stands in backticks, and the commands of console blocks."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "console":
            yield from re.findall(r"^\$ (.*?)(?:  #.*)?$", block, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


@each_document
def test_links_lead_to_files(document):
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        if not target.startswith("https://"):
            assert (document.parent / target.partition("#")[0]).is_file(), target


@each_document
def test_files_in_the_text_exist(document):
    for code in code_in(document.read_text("utf-8")):
        if re.fullmatch(r"(jobsd|tests|config|docs|tasks|demo|benchmarks)/[\w./-]*", code):
            assert (ROOT / code).exists(), code


@each_document
def test_make_has_the_targets(document):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for code in code_in(document.read_text("utf-8")):
        if code.startswith("make "):
            assert code.split()[1] in targets


@each_document
def test_commands_and_their_options_exist(document):
    for code in code_in(document.read_text("utf-8")):
        if code.startswith("jobsd "):
            words = shlex.split(code.replace("…", ""))[1:]
            grouped = words[0] in {"jobs", "queues", "history", "cron"} and words[1:] and not words[1].startswith("-")
            command = words[:2] if grouped else words[:1]
            answer = CliRunner().invoke(app, [*command, "--help"])
            assert answer.exit_code == 0, f"{code}: {answer.output}"
            options = {word for word in words if word.startswith("-")}
            assert options <= set(re.findall(r"(?<![\w-])--?[a-z-]+", answer.output)), f"{code}: {answer.output}"


@pytest.mark.parametrize("document", [*DOCUMENTS, *DEPLOYED], ids=lambda path: path.name)
def test_variables_exist(document):
    known = {variable(key) for key in leaves(Settings)} | READ_ELSEWHERE
    # In a decision a name may be wrong on purpose.
    if document.parent.name != "decisions":
        assert set(re.findall(r"\bJOBSD_[A-Z_]+\b", document.read_text("utf-8"))) <= known


@each_document
def test_log_events_exist(document):
    rooms = {event.partition(".")[0] for event in Event} - {"jobs"}
    for code in code_in(document.read_text("utf-8")):
        if (
            re.fullmatch(r"[a-z]+\.[a-z_]+", code)
            and code.partition(".")[0] in rooms
            and not code.endswith((".py", ".md"))
        ):
            assert code in {*Event, *map(dotted, leaves(Settings))}
