"""How figures of several rounds become cells, verdicts and a page."""

from __future__ import annotations

import doctest
import json

import pytest

from benchmarks import document, figures, targets
from benchmarks.figures import Figures
from benchmarks.judging import judge
from benchmarks.layouts import LAYOUTS, compared_with
from benchmarks.steps import STEPS
from benchmarks.tables import tables
from benchmarks.targets import TARGETS


def of(measure, **rows):
    """Return figures of one measure: row -> column -> one figure a round."""
    made = Figures()
    for row, columns in rows.items():
        for column, by_round in columns.items():
            for number, figure in enumerate(by_round, 1):
                made.add(measure, row, column, number, figure)
    return made


@pytest.mark.parametrize("module", [figures, targets])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


def test_a_ratio_is_of_the_same_round():
    found = of("backlog", jobsd={"jobs_per_s": [100, 30]}, arq={"jobs_per_s": [10, 1]})
    [verdict] = judge(found, TARGETS)
    assert verdict.found == "20.0x (10.0x-30.0x)"


def test_the_bound_itself_is_reached_and_the_stretch_is_told():
    def verdict(p50_ms):
        [found] = judge(of("latency", jobsd={"p50_ms": [p50_ms]}), TARGETS)
        return found.reached

    assert [verdict(p50_ms) for p50_ms in (1.9, 1.8, 1.2)] == ["no", "yes", "stretch"]


def test_a_part_of_arqs_cpu_is_reached_when_it_is_small():
    def reached(arq_us):
        found = of("backlog", jobsd={"worker_us": [20]}, arq={"worker_us": [arq_us]})
        return [(verdict.found, verdict.bound, verdict.reached) for verdict in judge(found, TARGETS)]

    assert reached(200) == [("1/10.0", "≤ 1/13.0", "no")]
    assert reached(280) == [("1/14.0", "≤ 1/13.0", "yes")]


def test_what_must_never_happen_is_not_hidden_by_a_median():
    [verdict] = judge(of("delayed", jobsd={"early": [0, 1, 0]}), TARGETS)
    assert (verdict.found, verdict.reached) == ("1", "no")


def test_what_was_not_measured_is_not_judged():
    assert judge(Figures(), TARGETS) == []


def test_figures_come_back_from_json_as_they_were():
    found = of("latency", jobsd={"p50_ms": [1.0, 2.0]}, arq={"p50_ms": [7.0, 9.0]})
    again = Figures(json.loads(json.dumps(found.all)))
    assert again.all == found.all
    assert list(tables(again)) == list(tables(found))


def test_less_is_faster_where_a_table_says_so():
    [table] = tables(of("latency", jobsd={"p50_ms": [2.0]}, arq={"p50_ms": [7.0]}))
    assert [row[-1] for row in table.rows] == ["3.5x", ""]


def test_a_promise_is_compared_with_the_job_that_has_none():
    plain = {"jobs_per_s": [20_000, 10_000], "all_us": [60, 80], "put_per_s": [60_000, 50_000]}
    step = {"jobs_per_s": [5_000, 2_500], "all_us": [400, 420]}
    [table] = tables(of("promises", **{"no promise": plain, "ctx.step": step}))
    assert table.head == ["", "jobs/s", "all three, µs", "put in/s", "no promise = 1"]
    assert [(row[0], row[-2], row[-1]) for row in table.rows] == [
        ("no promise", "55,000 (50,000-60,000)", ""),
        ("ctx.step", "", "0.25x"),
    ]


def test_every_measure_has_a_step_and_every_target_a_measure():
    assert {step.measure for step in STEPS} == LAYOUTS.keys()
    assert {target.measure for target in TARGETS} <= LAYOUTS.keys()


def test_no_row_is_compared_with_itself():
    assert compared_with("enqueue", "arq, 100 callers at once") is None
    assert compared_with("enqueue", "arq, one after another") is None
    assert compared_with("backlog", "arq") is None


def test_only_what_stands_between_the_marks_is_replaced():
    page = (document.PAGE).read_text("utf-8")
    once = document.put_in(page, "| some | figures |")
    assert "| some | figures |" in once
    assert document.put_in(document.put_in(once, "others"), "| some | figures |") == once
    head, tail = page.split("## Figures")[0], page.split("## How it is measured")[1]
    assert once.startswith(head)
    assert once.endswith(tail)


def test_a_quick_run_does_not_get_into_the_page(tmp_path):
    quick = {"quick": True, "failures": [], "figures": {"backlog": {}, "sleep": {}, "latency": {}}}
    (tmp_path / "2026-01-01T00-00-00Z.json").write_text(json.dumps(quick), "utf-8")
    with pytest.raises(document.NoRunError, match="no whole run"):
        document.write(tmp_path)
