"""The picture of a run: jobs a second over concurrency, and how long a job waits when nothing else happens."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figures, middle
from benchmarks.sleep import CONCURRENCIES, NAP_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Of Okabe and Ito: they differ in lightness too, for whoever sees no colours, and on paper.
_COLOURS = {"jobsd": "#0072B2", "arq": "#E69F00"}
_WRITTEN = {"jobsd": "#005A8C", "arq": "#805A00"}  # the same, dark enough to be read
_INK, _PALE = "#333333", "#D9D9D9"
_MARKS = {"jobsd": "o", "arq": "s"}
_BESIDE = {"jobsd": {"xytext": (-8, 4), "ha": "right"}, "arq": {"xytext": (8, -13), "ha": "left"}}
_BINS = 40
_STYLE = {
    "font.size": 10,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.edgecolor": "none",
    "legend.framealpha": 1,
}


def drawable(measures: Sequence[str]) -> bool:
    """Whether a run of these measures has something to draw."""
    return bool({"sleep", "latency"} & set(measures))


def missing() -> str | None:
    """Return what to install for the picture, or None."""
    if find_spec("matplotlib") is None:
        return "no picture will be drawn: matplotlib is missing, pip install -e '.[dev]'"
    return None


def draw(run: dict[str, Any], path: Path) -> bool:
    """Draw what the run has; False if it has nothing to draw."""
    import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    figures, waits = Figures(run["figures"]), run["samples"].get("latency", {})
    panels = [panel for panel in (figures.rows("sleep") and _throughput, waits and _waits) if panel]
    if not panels:
        return False
    with mpl.rc_context(_STYLE):
        drawing = Figure(figsize=(5.6 * len(panels), 4.4), layout="constrained")
        for axes, panel in zip(drawing.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            panel(axes, figures, waits)
        drawing.get_layout_engine().set(w_pad=0.15, h_pad=0.08, wspace=0.05)
        drawing.savefig(path, dpi=160)
    return True


def _throughput(axes: Any, figures: Figures, _: Any) -> None:
    """On two logarithmic scales, where the ideal is a straight line."""
    ideal = [slots / NAP_S for slots in CONCURRENCIES]
    axes.plot(CONCURRENCIES, ideal, color=_INK, linewidth=1, linestyle=(0, (4, 3)), label="as many as the slots allow")
    for system, colour in _COLOURS.items():
        found = {
            slots: by_round
            for slots in CONCURRENCIES
            if (by_round := figures.by_round("sleep", f"{system}, {slots:,} at once", "jobs_per_s"))
        }
        middles = [middle(by_round) for by_round in found.values()]
        lows = [middle(by_round) - min(by_round.values()) for by_round in found.values()]
        highs = [max(by_round.values()) - middle(by_round) for by_round in found.values()]
        axes.errorbar(
            list(found), middles, (lows, highs), color=colour, marker=_MARKS[system], capsize=3, label=system, zorder=3
        )
        for slots, jobs_per_s in zip(found, middles, strict=True):
            above = slots / NAP_S if system == "jobsd" else jobs_per_s  # else the line of the ideal runs through it
            axes.annotate(
                f"{jobs_per_s:,.0f}",
                (slots, above),
                textcoords="offset points",
                color=_WRITTEN[system],
                fontsize=9,
                **_BESIDE[system],
            )
    axes.set(xscale="log", yscale="log", xlim=(5, 2_200), ylim=(80, 40_000))
    axes.set_xticks(CONCURRENCIES, [f"{slots:,}" for slots in CONCURRENCIES])
    axes.set_yticks([100, 1_000, 10_000], ["100", "1,000", "10,000"])
    axes.minorticks_off()
    axes.grid(axis="y", color=_PALE, linewidth=0.7)
    axes.set(title="Jobs that sleep 50 ms, one worker process", xlabel="jobs at once", ylabel="jobs/s")
    axes.legend(loc="upper left")


def _waits(axes: Any, _: Figures, waits: dict[str, list[float]]) -> None:
    """Bins are as wide as each other on a logarithmic scale: the systems are far apart."""
    everything = [wait for found in waits.values() for wait in found]
    low, high = min(everything) * 0.9, max(everything) * 1.1
    edges = [low * (high / low) ** (number / _BINS) for number in range(_BINS + 1)]
    for system, colour in _COLOURS.items():
        if found := waits.get(system):
            share = [100 / len(found)] * len(found)
            half = sorted(found)[len(found) // 2]
            axes.hist(
                found, edges, weights=share, color=colour, alpha=0.85, label=f"{system}, half within {half:.1f} ms"
            )
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= tick <= high]
    axes.set(xscale="log", xlim=(low, high))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(top=math.ceil(axes.get_ylim()[1] * 1.15))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color=_PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set(title="Idle: from enqueue() to the task's first line", xlabel="ms", ylabel="jobs, %")
    axes.legend(loc="upper right")
