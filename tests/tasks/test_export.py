"""export:process: what may be exported, under which name, and that a file is whole or not there."""

from __future__ import annotations

import asyncio
import csv
import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from jobsd import Client, SkipRetry
from jobsd.engine.options import QueueOptions, WorkerOptions
from jobsd.engine.worker import Worker
from jobsd.errors import JobFailedError
from tasks import named_queries
from tasks.export import process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WHEN = datetime(2026, 1, 2, 8, 30, 5, tzinfo=UTC)
NUMBERS = """\
-- numbers: the first few.
--
-- $1  count  integer
SELECT n, 'row ' || n AS name FROM generate_series(1, $1::integer) AS n;
"""
FILTERED = """\
-- $1  since   timestamptz
-- $2  colour  text         null: any
SELECT $1::timestamptz AS since, $2::text AS colour
"""


class Ctx(dict[str, Any]):
    """As much of a job's context as an export sees; ``watch`` is called at each progress."""

    def __init__(self, db: Any, *, attempt: int = 1, watch: Callable[[], None] = lambda: None) -> None:
        super().__init__(enqueue_time=WHEN)
        self.db = db
        self.job_id = "job-1"
        self.attempt = attempt
        self.told: list[tuple[int, int]] = []
        self._watch = watch

    async def progress(self, done: int, total: int) -> None:
        self.told.append((done, total))
        self._watch()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Any]:
    pool = await asyncpg.create_pool(database_url, min_size=0, max_size=2)
    yield pool
    await pool.close()


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPORT_DIR", str(tmp_path / "exports"))
    return tmp_path / "exports"


@pytest.fixture(autouse=True)
def queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the queries, with two of the tests' own."""
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "numbers.sql").write_text(NUMBERS)
    (folder / "filtered.sql").write_text(FILTERED)
    monkeypatch.setattr(named_queries, "FOLDER", folder)
    return folder


def rows_of(path: str) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123
        return list(csv.reader(file))


def names_in(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


# --- the file -------------------------------------------------------------------------------------


async def test_a_query_becomes_a_file_with_a_header_and_a_line_for_each_row(db, exports) -> None:
    result = await process(Ctx(db), "numbers", {"count": 2500})
    rows = rows_of(result["path"])
    assert rows[:3] == [["n", "name"], ["1", "row 1"], ["2", "row 2"]]
    assert len(rows) == 2501
    assert result["rows"] == 2500
    assert result["bytes"] == (exports / "export_system_20260102_083005.csv").stat().st_size
    assert result["duration_s"] > 0


async def test_progress_is_told_in_rows_and_reaches_the_end(db, exports) -> None:
    ctx = Ctx(db)
    await process(ctx, "numbers", {"count": 2500})
    assert ctx.told == [(1000, 2500), (2000, 2500), (2500, 2500), (2500, 2500)]


async def test_a_total_that_was_too_small_is_corrected_on_the_way(db, exports) -> None:
    ctx = Ctx(db)
    await process(ctx, "numbers", {"count": 1500}, total=7)
    assert ctx.told == [(1000, 1000), (1500, 1500), (1500, 1500)]


async def test_nothing_found_is_a_file_with_only_the_header(db, exports) -> None:
    result = await process(Ctx(db), "numbers", {"count": 0})
    assert rows_of(result["path"]) == [["n", "name"]]
    assert result["rows"] == 0


async def test_text_that_a_spreadsheet_would_run_is_made_harmless_and_numbers_are_left(db, exports, queries) -> None:
    (queries / "evil.sql").write_text(
        """SELECT '=1+1' AS a, '+1' AS b, '-x' AS c, '@SUM(A1)' AS d, E'\\t=1' AS e, E'\\r=1' AS f,
                  'a=1' AS g, -5 AS h, -0.5::numeric AS i, NULL AS j, E'two\\nlines, "quoted"' AS k"""
    )
    result = await process(Ctx(db), "evil")
    assert rows_of(result["path"])[1] == [
        *("'=1+1", "'+1", "'-x", "'@SUM(A1)", "'\t=1", "'\r=1"),
        *("a=1", "-5", "-0.5", "", 'two\nlines, "quoted"'),
    ]


async def test_memory_does_not_grow_with_the_number_of_rows(db, exports, queries) -> None:
    (queries / "wide.sql").write_text(
        "-- $1  count  integer\nSELECT n, repeat('x', 100) AS text FROM generate_series(1, $1::integer) AS n"
    )

    async def peak_of(count: int) -> int:
        tracemalloc.start()
        try:
            result = await process(Ctx(db), "wide", {"count": count}, total=count)
            assert result["bytes"] > 100 * count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await peak_of(1_000)  # what is only loaded once
    few, many = await peak_of(5_000), await peak_of(200_000)
    assert many < 2 * few
    assert many < 4_000_000  # of a file of 21 MB


# --- whole or not there ---------------------------------------------------------------------------


async def test_the_file_has_its_name_only_when_it_is_whole(db, exports) -> None:
    seen: list[list[str]] = []
    ctx = Ctx(db, watch=lambda: seen.append(names_in(exports)))
    await process(ctx, "numbers", {"count": 2500}, file_name="numbers.csv")
    assert seen == [[".job-1.1.part"]] * 3 + [["numbers.csv"]]


async def test_an_export_that_fails_leaves_nothing_and_the_file_of_before_as_it_was(db, exports) -> None:
    def fail() -> None:
        raise ConnectionError("gone")

    before = await process(Ctx(db), "numbers", {"count": 1}, file_name="numbers.csv")
    with pytest.raises(ConnectionError):
        await process(Ctx(db, watch=fail), "numbers", {"count": 2500}, file_name="numbers.csv")
    assert names_in(exports) == ["numbers.csv"]
    assert len(rows_of(before["path"])) == 2


async def test_a_cancelled_export_leaves_nothing(db, exports) -> None:
    begun = asyncio.Event()
    running = asyncio.create_task(process(Ctx(db, watch=begun.set), "numbers", {"count": 1_000_000}, total=1_000_000))
    async with asyncio.timeout(10):
        await begun.wait()
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()
    assert names_in(exports) == []


async def test_a_second_run_removes_what_a_killed_one_left_and_gives_the_same_name(db, exports) -> None:
    exports.mkdir()
    (exports / ".job-1.1.part").write_text("half a li")
    result = await process(Ctx(db, attempt=2), "numbers", {"count": 3}, user="ann")
    assert names_in(exports) == ["export_ann_20260102_083005.csv"]
    assert len(rows_of(result["path"])) == 4


# --- the name -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../x.csv", "/etc/x.csv", "a/b.csv", "a\\b.csv", ".hidden.csv", "..", "-rf.csv", "a\0.csv", "a\n.csv", "x" * 201],
)
async def test_a_name_that_is_no_plain_name_is_refused_for_good(db, exports, name) -> None:
    with pytest.raises(SkipRetry, match=r"file name .* is refused"):
        await process(Ctx(db), "numbers", {"count": 1}, file_name=name)
    assert not exports.exists()


@pytest.mark.parametrize("name", ["orders.csv", "Bestellungen März (2).csv", "订单.csv", "2026-01-02 a+b@c.csv"])
async def test_a_plain_name_is_taken_as_it_is(db, exports, name) -> None:
    await process(Ctx(db), "numbers", {"count": 1}, file_name=name)
    assert names_in(exports) == [name]


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (1, "export_1_20260102_083005.csv"),
        ("ann@example.com", "export_ann@example.com_20260102_083005.csv"),
        ("../../etc/x y", "export_.._.._etc_x_y_20260102_083005.csv"),
    ],
)
async def test_without_a_name_the_user_and_the_time_of_the_enqueue_make_one(db, exports, user, name) -> None:
    await process(Ctx(db), "numbers", {"count": 1}, user=user)
    assert names_in(exports) == [name]


# --- what may be exported -------------------------------------------------------------------------


async def test_an_unknown_query_is_refused_for_good_and_those_that_exist_are_named(db, exports) -> None:
    with pytest.raises(SkipRetry, match="no query 'SELECT 1' to export; available: filtered, numbers"):
        await process(Ctx(db), "SELECT 1")


@pytest.mark.parametrize("name", ["../queries/numbers", "numbers.sql", ""])
async def test_the_name_of_a_query_is_not_a_path(db, exports, name) -> None:
    with pytest.raises(SkipRetry, match="available: filtered, numbers"):
        await process(Ctx(db), name)


@pytest.mark.parametrize("format_", ["excel", "pdf", "CSV"])
async def test_another_format_is_refused_for_good(db, exports, format_) -> None:
    with pytest.raises(SkipRetry, match="cannot be exported; available: csv"):
        await process(Ctx(db), "numbers", {"count": 1}, format=format_)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (None, "'since' is missing \\(it takes: since, colour\\)"),
        ({"since": "2026-01-01T00:00:00Z", "size": 1}, "'size' is not known"),
        ({"since": "yesterday"}, "parameter 'since' is 'yesterday'"),
        ({"since": "2026-01-01T00:00:00"}, "should have timezone info"),
        ({"since": None}, "parameter 'since' is None"),
        ({"since": "2026-01-01T00:00:00Z", "colour": 3}, "parameter 'colour' is 3"),
    ],
)
async def test_parameters_that_do_not_fit_are_refused_for_good(db, exports, parameters, problem) -> None:
    with pytest.raises(SkipRetry, match=problem):
        await process(Ctx(db), "filtered", parameters)


async def test_a_parameter_is_a_value_whatever_is_written_in_it(db, exports) -> None:
    parameters = {"since": "2026-01-01T07:00:00+07:00", "colour": "red'; DROP TABLE orders; --"}
    result = await process(Ctx(db), "filtered", parameters)
    assert rows_of(result["path"])[1] == ["2026-01-01 00:00:00+00:00", "red'; DROP TABLE orders; --"]


@pytest.mark.parametrize("head", ["-- $2  a  text", "-- $1  a  varchar"])
def test_a_query_that_declares_its_parameters_wrongly_is_refused_when_it_is_read(queries, head) -> None:
    (queries / "broken.sql").write_text(f"{head}\nSELECT 1")
    with pytest.raises(ValueError, match="should declare \\$1, with a type of text"):
        named_queries.named_query("numbers")


# --- on the engine --------------------------------------------------------------------------------


async def test_a_worker_exports_and_archives_a_wrong_request_at_its_first_run(db, exports, redis_url) -> None:
    worker = Worker(
        redis_url, {process.name: process}, {"low": QueueOptions()}, WorkerOptions(lease="1s"), shared={"db": db}
    )
    async with Client(redis_url) as client:
        good = await client.enqueue(process, "numbers", {"count": 1500}, file_name="numbers.csv")
        wrong = await client.enqueue("export:process", query="users", _queue="low")
        async with asyncio.timeout(20):
            await worker.run(burst=True)
        assert (await good.result(timeout=1))["rows"] == 1500
        assert len(rows_of(str(exports / "numbers.csv"))) == 1501
        with pytest.raises(JobFailedError, match="no query 'users' to export"):
            await wrong.result(timeout=1)
    assert worker.ended == {"C": 1, "A": 1}
