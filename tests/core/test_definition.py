from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

import pytest

from jobsd import Context, PlainContext, definition, fixed, task
from jobsd.definition import registry
from jobsd.errors import InvalidArgumentsError, InvalidOptionError, TaskDefinitionError


@pytest.fixture(autouse=True)
def _empty_registry(monkeypatch) -> None:
    monkeypatch.setattr("jobsd.definition.registry", {})


async def add(ctx: Context, a: int, b: int = 0) -> int:
    return a + b


async def other(ctx: Context) -> None: ...


def test_a_task_is_registered_under_its_name() -> None:
    defined = task("math:add", queue="maths", timeout="30s", retries=2, backoff=fixed("1s"))(add)
    assert definition.registry == {"math:add": defined}
    assert definition.registry is not registry
    assert (defined.name, defined.queue, defined.timeout_ms, defined.retries) == ("math:add", "maths", 30_000, 2)
    assert defined.backoff == fixed("1s")
    assert repr(defined) == "<task 'math:add'>"


def test_without_a_name_a_task_bears_that_of_its_function() -> None:
    assert task()(add).name == f"{__name__}.add"


def test_what_is_not_given_is_left_to_the_worker() -> None:
    defined = task()(add)
    assert (defined.timeout_ms, defined.retries, defined.backoff) == (None, None, None)


async def test_a_task_can_be_called_like_its_function() -> None:
    assert await task()(add)(None, 1, b=2) == 3


def test_two_functions_of_one_name_are_refused_with_both_places() -> None:
    task("twice")(add)
    with pytest.raises(TaskDefinitionError, match=r"defined twice: .*\.add and .*\.other"):
        task("twice")(other)


def test_a_module_that_is_loaded_again_may_define_its_tasks_again() -> None:
    task("again")(add)
    assert task("again")(add)


def _plain_with_context(ctx: Context) -> None: ...
async def _async_with_plain_context(ctx: PlainContext) -> None: ...
def _generator(ctx: PlainContext):
    yield 1


async def _async_generator(ctx: Context):
    yield 1


async def _no_context() -> None: ...
async def _keyword_context(*, ctx: Context) -> None: ...
async def _star_context(*args: int) -> None: ...
async def _underscore(ctx: Context, _hidden: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_plain_with_context, "a plain function is handed a PlainContext: a Context is for async functions"),
        (_async_with_plain_context, "an async function is handed a Context, not a PlainContext"),
        (_generator, "it is a generator: a task returns its result, it yields nothing"),
        (_async_generator, "it is a generator"),
        (_no_context, "first parameter must be the context"),
        (_keyword_context, "first parameter must be the context"),
        (_star_context, "first parameter must be the context"),
        (_underscore, "'_hidden' begins with an underscore"),
    ],
)
def test_a_function_that_cannot_be_a_task_is_refused(function, told: str) -> None:
    with pytest.raises(TaskDefinitionError, match=told) as refused:
        task("odd")(function)
    assert refused.value.task == "odd"
    assert refused.value.exit_code == 2


def plain(ctx: PlainContext, a: int) -> int:
    return a + 1


def test_a_plain_function_is_a_task_too_and_is_called_like_a_function() -> None:
    defined = task(executor="process", memory="64MB")(plain)
    assert defined(None, 1) == 2
    assert (defined.plain, defined.executor, defined.memory_bytes) == (True, "process", 64_000_000)
    assert (task()(add).plain, task()(add).executor) == (False, None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"executor": "thread"}, "executor is 'thread'; allowed is \"process\", or none"),
        ({"memory": "64MB"}, 'memory needs executor="process": a thread cannot be limited'),
        ({"executor": "process", "memory": 64}, "memory: 64 is not an amount of memory with its unit, such as"),
        ({"executor": "process", "memory": "1MB"}, "memory is '1MB'; at least 16MB is needed to run anything"),
    ],
)
def test_an_executor_that_there_is_not_is_refused(options, told: str) -> None:
    with pytest.raises(TaskDefinitionError, match=told):
        task("odd", **options)(plain)


def test_a_task_that_no_child_process_could_find_is_refused() -> None:
    def local(ctx: PlainContext) -> None: ...

    with pytest.raises(TaskDefinitionError, match="a child process cannot find it: define it at the top of a module"):
        task("odd", executor="process")(local)


def test_at_task_without_parentheses_is_explained() -> None:
    with pytest.raises(TaskDefinitionError, match="parentheses"):
        task(add)


@pytest.mark.parametrize("name", ["with space", "ümlaut", "x" * 201, "new\nline"])
def test_a_name_that_no_key_could_bear_is_refused(name: str) -> None:
    with pytest.raises(TaskDefinitionError, match="1 to 200"):
        task(name)(add)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 30}, "'timeout' is 30; allowed is a duration"),
        ({"timeout": "0s"}, "more than 0"),
        ({"retries": -1}, "a whole number, 0 to 1000"),
        ({"retries": True}, "a whole number"),
        ({"retries": 1.0}, "a whole number"),
        ({"backoff": "10s"}, r"exponential\(\), fixed\(\) or linear\(\)"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_at_the_definition(options, told: str) -> None:
    with pytest.raises(TaskDefinitionError, match=told):
        task("odd", **options)(add)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"delay": 5}, "'delay' is 5"),
        ({"delay": timedelta(seconds=-1)}, "'delay'"),
        ({"at": datetime(2030, 1, 1)}, "a datetime with a time zone"),  # noqa: DTZ001 - that is the point
        ({"at": "tomorrow"}, "a datetime with a time zone"),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC), "delay": "5s"}, "not both"),
        ({"timeout": "0ms"}, "more than 0"),
        ({"retries": 1001}, "0 to 1000"),
    ],
)
def test_an_option_of_a_call_is_checked_at_the_call(options, told: str) -> None:
    with pytest.raises(InvalidOptionError, match=told):
        task("call")(add).opts(**options)


def test_the_options_of_a_call_go_before_the_tasks() -> None:
    defined = task("where", queue="one")(add)
    assert defined.job(1).queue == "one"
    assert defined.opts(queue="two").job(1).queue == "two"


def test_a_call_with_wrong_arguments_is_refused_before_it_is_a_job() -> None:
    defined = task("add")(add)
    with pytest.raises(InvalidArgumentsError, match=r"a: input should be a valid integer.*given 'x'"):
        defined.job("x")
    with pytest.raises(InvalidArgumentsError, match="a is missing"):
        defined.job()
    with pytest.raises(InvalidArgumentsError, match="c is not a parameter"):
        defined.job(1, c=2)


def test_annotations_that_cannot_be_resolved_are_named_at_first_use() -> None:
    async def odd(ctx: Context, what: Nowhere) -> None: ...  # noqa: F821

    with pytest.raises(TaskDefinitionError, match=r"annotations cannot be resolved.*Nowhere"):
        task("odd")(odd).job(1)


def test_a_partial_is_a_task_or_is_refused_in_words() -> None:
    try:
        task("partial")(functools.partial(add, b=1))
        task("partial")(functools.partial(add, b=2))
    except TaskDefinitionError:
        return


def test_a_queue_that_no_key_could_bear_is_refused_at_the_definition() -> None:
    with pytest.raises(TaskDefinitionError, match="queue"):
        task("odd", queue="no such queue!")(add)
