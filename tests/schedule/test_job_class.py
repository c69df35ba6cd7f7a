"""Classes of scheduled work that are wrong, or half said; what right ones do is in engine/test_scheduled_jobs.py."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from jobsd import BaseScheduledJob, cron
from jobsd.daemon import tasks
from jobsd.errors import ScheduleDefinitionError
from tests.engine.hall import said


async def executed(self: Any) -> None: ...


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            {"cron": None, "interval_seconds": "60"},
            "interval_seconds: '60' is not a number of whole seconds, 1 or more",
        ),
        ({"interval_seconds": 60}, "cron: a job has one of cron and interval_seconds, not both"),
        ({"cron": None}, "cron: a job has one of cron and interval_seconds, and this has none"),
        (
            {"cron": cron("0 2 * * *", zone="UTC")},
            "cron: <cron '0 2 * * *'> is no expression; write its text, '0 2 * * *', and beside it zone = 'UTC'",
        ),
        ({"job_id": "a b"}, "job_id: 'a b' is no name for a schedule; allowed are 1 to 80 of A-Z a-z 0-9 . _ : -"),
    ],
)
def test_what_is_wrong_with_a_class_is_said_once(facts, told):
    usual = {"job_id": "import", "cron": "@daily", "execute": executed, "__module__": __name__}
    with pytest.raises(ScheduleDefinitionError) as caught:
        type("Import", (BaseScheduledJob,), usual | facts)
    name = facts.get("job_id", "import")
    assert str(caught.value) == f"schedule {name!r}: {told} ({__name__}.Import)"


def test_a_job_that_has_everything_but_an_id_is_told_of_at_the_start(caplog):
    class Base(BaseScheduledJob):
        interval_seconds = 60

        async def execute(self) -> None: ...

    class Import(Base):
        jobid = "import"

    class Unplanned(BaseScheduledJob):
        async def execute(self) -> None: ...

    class Idle(BaseScheduledJob):
        cron = "@daily"

    class Named(Base):
        job_id = "named"

    with caplog.at_level(logging.INFO, "jobsd"):
        tasks.warn_of_unnamed()
    lines = said(caplog, "schedule.unnamed")
    assert [(line.levelno, line.job_class) for line in lines if line.job_class.startswith(__name__)] == [
        (logging.WARNING, f"{__name__}.{Import.__qualname__}")
    ]
    [line] = [line for line in lines if line.job_class.startswith(__name__)]
    assert (line.cause, line.consequence, line.remedy) == (
        "it has no job_id; jobid: it means nothing here; did you mean job_id?",
        "it is not scheduled",
        "give it a job_id",
    )
