"""The picture of a run: drawn of what there is, and left out where there is nothing."""

from __future__ import annotations

import pytest

from benchmarks import picture

SLEEP = {
    f"{system}, {slots} at once": {"jobs_per_s": {"1": 100.0, "2": 120.0}}
    for system in ("jobsd", "arq")
    for slots in ("10", "100", "1,000")
}
WAITS = {"jobsd": [1.0, 1.1, 1.4], "arq": [2.0, 7.0, 10.0]}


@pytest.mark.parametrize(
    ("figures", "samples", "drawn"),
    [
        ({"sleep": SLEEP}, {"latency": WAITS}, True),
        ({"sleep": SLEEP}, {}, True),
        ({}, {"latency": WAITS}, True),
        ({"backlog": {}}, {}, False),
    ],
)
def test_what_was_measured_is_drawn(figures, samples, drawn, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    assert picture.draw({"figures": figures, "samples": samples}, path) is drawn
    assert path.is_file() is drawn


def test_who_has_no_matplotlib_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    assert "pip install" in (picture.missing() or "")
    assert picture.drawable(["sleep"])
    assert not picture.drawable(["memory", "idle"])
