"""What a queue keeps of its finished jobs, as the settings say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobsd.daemon.settings import load_settings
from jobsd.duration import ALLOWED
from jobsd.engine.options import Kept
from jobsd.errors import SettingsError

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path) -> None:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def toml(text: str) -> None:
    Path("jobsd.toml").write_text(text)


def test_what_a_queue_does_not_say_is_as_the_worker_says(monkeypatch):
    toml("""
        [worker]
        keep_archived = "30d"
        keep_completed_count = 1000
        [queues]
        mails = { keep_completed_count = 10, keep_archived_count = 5 }
        logins = { keep_completed = "10m", keep_archived = "7d" }
        none = { keep_completed_count = 0, keep_archived = "0s" }
        plain = 1
        """)
    monkeypatch.setenv("JOBSD_QUEUES__LOGINS__KEEP_ARCHIVED_COUNT", "3")
    loaded = load_settings()
    settings = loaded.settings
    assert {name: queue.kept(settings.worker) for name, queue in settings.queues.items()} == {
        "mails": Kept(HOUR_MS, 10, 30 * DAY_MS, 5),
        "logins": Kept(600_000, 1000, 7 * DAY_MS, 3),
        "none": Kept(HOUR_MS, 0, 0, 10_000),
        "plain": Kept(HOUR_MS, 1000, 30 * DAY_MS, 10_000),
    }
    assert loaded.values()["queues.logins.keep_completed"] == "10m"
    assert "queues.plain.keep_completed" not in loaded.values(), "what a queue does not say is not worth a line"
    assert (
        loaded.origins["queues.logins.keep_archived_count"] == "environment JOBSD_QUEUES__LOGINS__KEEP_ARCHIVED_COUNT"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keep_completed_count = -1", "keep_completed_count: -1 is out of range; allowed is 0 or more"),
        ('keep_archived_count = "few"', 'keep_archived_count: "few" is not a whole number; allowed is 0 or more'),
        ("keep_completed = 60", f"keep_completed: 60 is not {ALLOWED}"),
        ('keep_archived = "for ever"', f'keep_archived: "for ever" is not {ALLOWED}'),
    ],
)
def test_what_is_wrong_is_told_with_the_queue_and_what_is_allowed(text, problem):
    toml(f"[queues]\nmails = {{ {text} }}")
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert told.value.problems == [f"jobsd.toml: queues.mails.{problem}"]
