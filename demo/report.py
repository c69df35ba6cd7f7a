"""What is said at the end."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from demo.ground import Ground
    from demo.service import Expected

_COUNTS = ("runs", "succeeded", "retries", "failures")


def print_table(console: Console, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for every task."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    table.add_column("task", footer="all", no_wrap=True)
    for name in _COUNTS:
        total = sum(task[name] for task in tasks)
        table.add_column(name, footer=f"{total:,}", justify="right", no_wrap=True)
    for name in ("p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    for task in tasks:
        counts = (f"{task[name]:,}" for name in _COUNTS)
        table.add_row(task["task"], *counts, _duration(task["p50_s"]), _duration(task["p95_s"]))
    console.print("\n[bold]What Postgres has recorded[/]")
    console.print(Padding.indent(table, 1))


def promises_kept(expected: Mapping[str, Expected], last: Mapping[str, Any], lines: int) -> Iterator[str]:
    """Yield what was verified, in words."""
    ended = Counter(found["transition"] for found in last.values())
    counts = ", ".join(f"{count:,} {transition}" for transition, count in ended.most_common())
    yield f"{len(last):,} jobs enqueued and ended: {counts}"
    for job_id, wanted in expected.items():
        found = last[job_id]
        if wanted.runs > 1:
            cause = f": {found['message']}" if found["message"] else ""
            yield f"{wanted.task} {wanted.transition} after {found['runs']} runs{cause}"
        if wanted.waits_s:
            yield f"{wanted.task} delayed by {wanted.waits_s} s, begun after {found['waited_s']:.1f} s"
    yield f"{lines:,} lines exported: {lines - 1:,} orders and a header"


def print_good(console: Console, text: str) -> None:
    console.print(Text.assemble(("  ✓ ", "green"), text), soft_wrap=True)


def print_places(console: Console, ground: Ground, export: Path, *, further: bool) -> None:
    """Say where everything is, and with ``further`` what to type next."""
    places = [
        ("export", short(export), ""),
        ("logs", short(ground.log), "the daemon's"),
        ("", f"{short(ground.state / 'log')}/", "the servers'"),
        ("tasks", "tasks/export.py, demo/shop_tasks.py", "what has run"),
        *([("further", "make dev", "the same, left running")] if further else []),
    ]
    width = max(len(what) for _, what, _ in places)
    console.print()
    for name, what, why in places:
        console.print(Text.assemble(f"  {name:<10}{what:<{width}}  ", (why, "dim")), soft_wrap=True)


def print_addresses(console: Console, ground: Ground) -> None:
    """Say how another shell reaches what is left running."""
    command = Path(sys.executable).with_name("jobsd")
    jobsd = short(command) if command.exists() else f"{sys.executable} -m jobsd"
    console.print("\nIt keeps running. In another shell:\n", style="bold")
    for line in (
        f"export JOBSD_REDIS_URL={shlex.quote(ground.redis_url)}",
        f"export JOBSD_DATABASE_URL={shlex.quote(ground.database_url)}",
        f"{jobsd} queues",
        f"{jobsd} jobs ls archived",
        f"{jobsd} history --outcome failed",
        f"{jobsd} enqueue export:process query=orders -q low --wait 1m",
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False)  # never folded: it is to be copied
    console.print("\nCtrl-C stops it.")


def short(path: Path) -> str:
    """Return the path from here, if it is below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
