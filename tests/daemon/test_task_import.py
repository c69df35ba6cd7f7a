"""A module of tasks that cannot be imported: the place that is told is its author's."""

from __future__ import annotations

import sys

import pytest

from jobsd.daemon.tasks import TaskImportError, import_tasks


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("every = cron.daily_at(25)", "ExpressionError: schedule 'daily_at(25, 0)': hour is 25; allowed are 0 to 23"),
        ("every = 1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_raises_inside_of_us_is_told_with_the_line_that_called_it(line, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "shop_of_errors.py").write_text(f"from jobsd import cron\n\n{line}\n")
    with pytest.raises(TaskImportError) as refused:
        import_tasks(["shop_of_errors"])
    assert str(refused.value) == (
        f"tasks: module 'shop_of_errors' cannot be imported: {told} (shop_of_errors.py, line 3)"
    )
