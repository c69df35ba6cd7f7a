"""The page about performance, with the figures of the last whole run in it."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figures
from benchmarks.steps import LIMITS, LONG
from benchmarks.tables import Cells, tables, targets

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 120
DOCUMENT = "docs/performance.md"
PAGE = Path(__file__).parents[1] / DOCUMENT
_BEGIN, _END = "<!-- figures: written by `python -m benchmarks --write-docs` -->\n", "<!-- end of figures -->"


class NoRunError(Exception):
    """There is no run to write about."""


def write(folder: Path) -> list[Path]:
    """Replace the page's figures, and its picture; return what was written. Raises NoRunError."""
    run, picture = _latest(folder, "backlog", "sleep", "latency")
    written = [PAGE]
    block = "\n\n".join(_told(run))
    if picture.is_file():
        beside = PAGE.with_suffix(".png")
        shutil.copyfile(picture, beside)
        written.append(beside)
        block += f"\n\n![Jobs a second over concurrency, and how long a job waits on an idle system]({beside.name})"
    for measure in (LIMITS, LONG):
        try:
            more, _ = _latest(folder, measure)
        except NoRunError:
            continue
        if more["ended_at"] != run["ended_at"]:
            block += "\n\n" + "\n\n".join(_told(more))
    PAGE.write_text(put_in(PAGE.read_text("utf-8"), block), "utf-8")
    return written


def put_in(page: str, block: str) -> str:
    """Return the page with ``block`` between its marks."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise NoRunError(f"{DOCUMENT} has lost the marks between which figures stand")
    return f"{before}{begin}\n{block}\n\n{end}{after}"


def _latest(folder: Path, *measures: str) -> tuple[dict[str, Any], Path]:
    """Return the last run, not a quick one, that has all these measures, and where its picture is."""
    for path in sorted(folder.glob("*.json"), reverse=True):
        run = json.loads(path.read_text("utf-8"))
        if run.get("quick") is False and not run["failures"] and set(measures) <= run["figures"].keys():
            return run, path.with_suffix(".png")
    raise NoRunError(f"no whole run with {', '.join(measures)} in {folder}: make bench, then again")


def _told(run: dict[str, Any]) -> Iterator[str]:
    figures, machine, versions = Figures(run["figures"]), run["machine"], run["versions"]
    conditions = (
        f"{run['ended_at'][:10]}, {run['rounds']} round{'s' * (run['rounds'] > 1)}: {machine['processor']}, "
        f"{machine['cpus']} CPUs, of which other programs used {run['others_share']:.0%}; {machine['system']}. "
        f"Valkey is reached by {'TCP' if run['valkey_by'] == 'TCP' else 'its socket'}. "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}."
    )
    yield textwrap.fill(conditions, _WIDTH)
    for cells in (targets(figures), *tables(figures)):
        yield f"**{cells.title}**\n\n{_markdown(cells)}"


def _markdown(cells: Cells) -> str:
    rule = ["---", *["---:"] * (len(cells.head) - 1)]
    lines = [cells.head, rule, *cells.rows]
    return "\n".join("| " + " | ".join(re.sub(r"\|", r"\\|", cell) for cell in line) + " |" for line in lines)
