"""A module of tasks that cannot be imported: the place that is told is its author's."""

from __future__ import annotations

import sys

import pytest

from jobsd.daemon.tasks import NoTasksError, TaskImportError, import_tasks
from tests.registered import nothing_else_declared


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


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        ([], "no module with tasks is named"),
        (["json"], "module json defines no task"),
        (["json", "string"], "modules json, string define no task"),
    ],
)
def test_where_there_is_no_task_that_is_said(modules, told):
    with nothing_else_declared(), pytest.raises(NoTasksError) as refused:
        import_tasks(modules)
    assert str(refused.value) == (
        f'{told}; name yours in jobsd.toml (tasks = ["my_tasks"]), in JOBSD_TASKS or with --tasks'
    )


def test_where_the_only_job_has_no_id_that_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "shop_without_id.py").write_text(
        "from jobsd import BaseScheduledJob\n\n"
        "class Import(BaseScheduledJob):\n    cron = '@daily'\n    async def execute(self): ...\n"
    )
    with nothing_else_declared(), pytest.raises(NoTasksError) as refused:
        import_tasks(["shop_without_id"])
    assert str(refused.value) == (
        "module shop_without_id defines no task; shop_without_id.Import is not scheduled: it has no job_id"
    )
