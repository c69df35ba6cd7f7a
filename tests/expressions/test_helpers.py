from __future__ import annotations

import subprocess
import sys

import pytest

from jobsd.expressions import helpers, parse


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (helpers.every_minute(), "every minute"),
        (helpers.every_five_minutes(), "every 5 minutes"),
        (helpers.every_ten_minutes(), "every 10 minutes"),
        (helpers.every_fifteen_minutes(), "every 15 minutes"),
        (helpers.every_thirty_minutes(), "every 30 minutes"),
        (helpers.hourly(), "every hour"),
        (helpers.daily(), "at 00:00 every day"),
        (helpers.weekly(), "at 00:00 on Sunday"),
        (helpers.monthly(), "at 00:00 on the 1st of the month"),
        (helpers.yearly(), "at 00:00 on 1 January"),
        (helpers.daily_at(10, 30), "at 10:30 every day"),
        (helpers.weekly_on("monday", 9, 0), "at 09:00 on Monday"),
        (helpers.weekly_on("Sun", 9, 5), "at 09:05 on Sunday"),
        (helpers.monthly_on(15, 12, 0), "at 12:00 on the 15th of the month"),
    ],
)
def test_helpers_return_texts_that_say_what_their_names_do(text: str, words: str) -> None:
    assert parse(text).words == f"{words}, UTC"


def test_who_only_declares_schedules_needs_no_cronsim() -> None:
    code = (
        "import sys; sys.modules['cronsim'] = None\n"
        "from jobsd.expressions import parse\n"
        "from jobsd.expressions.helpers import daily_at\n"
        "print(parse(daily_at(10, 30), zone='Asia/Jakarta').words)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "at 10:30 every day, Asia/Jakarta\n", done.stderr
