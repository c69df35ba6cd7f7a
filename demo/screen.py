"""The terminal, or what stands in for one."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from demo import DemoError, heed_cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WIDEST = 100


class Screen(Console):
    def __init__(self, **options: Any) -> None:
        sys.stdout.reconfigure(errors="replace")  # a tick is no reason to fail where only ASCII can be written
        super().__init__(highlight=False, **options)
        self.width = min(self.width, _WIDEST)

    @contextmanager
    def step(self, name: str, *, spin: bool = True) -> Iterator[Callable[[str], None]]:
        """Print one line for the step when it is done: its name, what was said of it, and the time it took."""
        heed_cancellation()
        began = monotonic()
        said: list[str] = []
        if spin and self.is_terminal:
            with self.status(f"[dim]{name} …[/]", spinner_style="dim"):
                yield said.append
        else:
            yield said.append
        took = f"{monotonic() - began:.1f} s"
        text = Text.assemble(f"  {name:<10}", " ".join(said))
        text.pad_right(max(2, self.width - text.cell_len - len(took)))
        self.print(text.append(took, "dim"), soft_wrap=True)

    def note(self, text: str) -> None:
        self.print(Text(text, "yellow"), soft_wrap=not self.is_terminal)

    def on_broken_pipe(self) -> None:
        """End in order: rich would end the process at once."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise DemoError("nobody reads what it prints any more")
