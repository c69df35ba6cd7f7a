"""What queues and resources may have, as the settings say it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from jobsd.daemon.settings import load_settings
from jobsd.rate import Rate
from jobsd.store.limits import Limits

SAMPLE = Path(__file__).parents[2] / "config/jobsd.toml"


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path) -> None:
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def toml(text: str) -> None:
    Path("jobsd.toml").write_text(text)


def test_a_queue_has_its_limits_from_the_file_and_its_hours_a_zone(monkeypatch):
    toml("""
        timezone = "Asia/Jakarta"
        [queues.reports]
        weight = 2
        concurrency = 3
        global_concurrency = 5
        rate = "5/10s"
        hours = "22:00-06:00"
        per_key = { concurrency = 1, rate = "100/m" }
        [queues.plain]
        """)
    monkeypatch.setenv("JOBSD_QUEUES__REPORTS__PER_KEY__CONCURRENCY", "2")
    loaded = load_settings()
    queues = loaded.settings.queues
    assert queues["reports"].limits(loaded.settings.timezone) == Limits(
        concurrency=5,
        rate=Rate(5, 10_000),
        key_concurrency=2,
        key_rate=Rate(100, 60_000),
        process_concurrency=3,
        hours="22:00-06:00 Asia/Jakarta",
    )
    assert not queues["plain"].limits()
    assert loaded.values()["queues.reports.rate"] == "5/10s"
    assert "queues.plain.rate" not in loaded.values(), "what is not limited is not worth a line"
    assert (
        loaded.origins["queues.reports.per_key.concurrency"]
        == "environment JOBSD_QUEUES__REPORTS__PER_KEY__CONCURRENCY"
    )


def test_hours_with_a_zone_of_their_own_keep_it():
    toml('timezone = "Asia/Jakarta"\n[queues.reports]\nhours = "22:00-06:00 Europe/Berlin"')
    assert load_settings().settings.queues["reports"].limits("Asia/Jakarta").hours == "22:00-06:00 Europe/Berlin"


def test_a_resource_is_a_number_or_a_table(monkeypatch):
    toml('[resources]\nstripe = 1\nmaps = { rate = "100/m", concurrency = 4 }\nnothing = {}')
    monkeypatch.setenv("JOBSD_RESOURCES__STRIPE", "2")
    loaded = load_settings()
    assert {name: one.limits() for name, one in loaded.settings.resources.items()} == {
        "stripe": Limits(concurrency=2),
        "maps": Limits(concurrency=4, rate=Rate(100, 60_000)),
        "nothing": Limits(),
    }
    assert loaded.origins["resources.stripe.concurrency"] == "environment JOBSD_RESOURCES__STRIPE"
    assert loaded.origins.keys() == loaded.values().keys()


def test_the_sample_has_an_example_of_every_limit():
    """Limits have no default to show; what is shown is valid when the marks are taken away."""
    before_records = SAMPLE.read_text().partition("\n[records]")[0]
    examples = "\n".join(re.findall(r"^#   (\S+ = .+|\[\w+\])$", before_records, re.MULTILINE))
    toml(examples[examples.index("[queues]") :])
    settings = load_settings().settings
    per_key = [queue.per_key for queue in settings.queues.values()]
    for tables in (list(settings.queues.values()), per_key, list(settings.resources.values())):
        shown = set().union(*(options.model_fields_set for options in tables))
        assert shown == type(tables[0]).model_fields.keys()
