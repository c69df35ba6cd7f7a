from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.addresses import masked
from jobsd.ambient import redis_url_of
from jobsd.daemon.settings import Settings, load_settings, redis_address
from jobsd.engine.options import QueueOptions
from jobsd.errors import DisabledError, NotConfiguredError, SettingsError
from jobsd.job import QUEUE_ALLOWED

SAMPLE = Path(__file__).parents[2] / "config/jobsd.toml"
REDIS = 'an address such as "redis://host:6379/0", "rediss://user:password@host:6380/0" or "unix:///run/valkey.sock"'
POSTGRES = 'an address such as "postgresql://user:password@host:5432/name"'
DURATION = 'a duration such as "500ms", "30s", "5m", "1h30m", "2d"'
TOP = (
    "tasks, timezone, redis_url, redis_enable, database_url, state, unknown_queues, "
    "processes, worker, queues, resources, cron, records, log"
)
QUEUE = (
    "weight, concurrency, global_concurrency, rate, hours, per_key, "
    "keep_completed, keep_completed_count, keep_archived, keep_archived_count"
)
RATE = 'a rate such as "5/10s", "100/m", "1000/1h": 1 to 100,000 jobs in 10ms to 31d'
LEVELS = '"DEBUG", "INFO", "WARNING", "ERROR"'
QUOTING = "; inside a password write / as %2F, # as %23, ? as %3F and @ as %40"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Every test is alone: an empty folder, and none of the names that settings are read from."""
    for name in os.environ:
        if name.startswith(("JOBSD_", "REDIS_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def env(monkeypatch):
    def set_all(**names: str) -> None:
        for name, text in names.items():
            monkeypatch.setenv(name, text)

    return set_all


def toml(text: str, path: str = "jobsd.toml") -> Path:
    file = Path(path)
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(text)
    return file


def dotenv(text: str) -> None:
    Path(".env").write_text(text)


def problems(**overrides: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def weights(settings: Settings) -> dict[str, int]:
    return {name: queue.weight for name, queue in settings.queues.items()}


# Where a value comes from


def test_with_nothing_given_the_defaults_hold():
    loaded = load_settings()
    assert loaded.settings == Settings()
    assert loaded.file is None
    assert weights(loaded.settings) == {"critical": 6, "default": 3, "low": 1}
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.origins.keys() == loaded.values().keys()


PLACES = ("file", "dotenv", "environment", "argument")


@pytest.mark.parametrize("strongest", PLACES)
def test_a_stronger_place_has_the_last_word(strongest, env):
    given = PLACES[: PLACES.index(strongest) + 1]
    if "file" in given:
        toml("[worker]\nconcurrency = 1")
    if "dotenv" in given:
        dotenv("JOBSD_WORKER__CONCURRENCY=2")
    if "environment" in given:
        env(JOBSD_WORKER__CONCURRENCY="3")
    loaded = load_settings(worker={"concurrency": 4} if "argument" in given else None)
    assert loaded.settings.worker.concurrency == len(given)
    assert (
        loaded.origins["worker.concurrency"]
        == {
            "file": "jobsd.toml",
            "dotenv": ".env JOBSD_WORKER__CONCURRENCY",
            "environment": "environment JOBSD_WORKER__CONCURRENCY",
            "argument": "argument",
        }[strongest]
    )


ADDRESSES = (
    ("file", "redis://file:6379/0", "jobsd.toml"),
    ("plain in .env", "redis://plain-dotenv:6379/0", ".env REDIS_HOST"),
    ("plain", "redis://plain:6379/0", "environment REDIS_HOST"),
    (".env", "redis://dotenv", ".env JOBSD_REDIS_URL"),
    ("environment", "redis://environment", "environment JOBSD_REDIS_URL"),
    ("argument", "redis://argument", "argument"),
)


@pytest.mark.parametrize("strongest", range(len(ADDRESSES)))
def test_the_address_of_redis_follows_the_same_order_everywhere(strongest, env):
    given = [place for place, _, _ in ADDRESSES[: strongest + 1]]
    if "file" in given:
        toml('redis_url = "redis://file:6379/0"')
    lines = []
    if "plain in .env" in given:
        lines.append("REDIS_HOST=plain-dotenv")
    if "plain" in given:
        env(REDIS_HOST="plain")
    if ".env" in given:
        lines.append("JOBSD_REDIS_URL=redis://dotenv")
    if "environment" in given:
        env(JOBSD_REDIS_URL="redis://environment")
    dotenv("\n".join(lines))
    loaded = load_settings(redis_url="redis://argument" if "argument" in given else None)
    _, address, origin = ADDRESSES[strongest]
    assert (redis_address(loaded.settings), loaded.origins["redis_url"]) == (address, origin)


def test_the_address_of_postgres_comes_from_our_name_then_the_plain_one_then_the_file(env):
    toml('database_url = "postgresql://file/x"')
    assert load_settings().origins["database_url"] == "jobsd.toml"
    env(DATABASE_URL="postgres://plain/x")
    assert load_settings().origins["database_url"] == "environment DATABASE_URL"
    env(JOBSD_DATABASE_URL="postgresql://ours/x")
    assert load_settings().origins["database_url"] == "environment JOBSD_DATABASE_URL"


def test_the_driver_in_an_address_of_sqlalchemy_is_left_out(env):
    env(DATABASE_URL="postgresql+asyncpg://user:pw@host/x")
    url = load_settings().settings.database_url
    assert url is not None
    assert url.get_secret_value() == "postgresql://user:pw@host/x"


def test_a_setting_from_the_file_and_one_from_the_environment_stand_beside_each_other(env):
    toml('[worker]\ntimeout = "1m"\nretries = 2')
    env(JOBSD_WORKER__RETRIES="7", JOBSD_WORKER='{"concurrency": 9}', JOBSD_LOG__LEVEL="debug")
    settings = load_settings().settings
    assert settings.worker.timeout == timedelta(minutes=1)
    assert (settings.worker.retries, settings.worker.concurrency, settings.log.level) == (7, 9, "DEBUG")


def test_an_empty_variable_counts_as_not_set(env):
    toml('redis_url = "redis://file"')
    env(JOBSD_REDIS_URL="", REDIS_HOST="", JOBSD_TASKS="", JOBSD_UNKNOWN="")
    assert redis_address(load_settings().settings) == "redis://file"


def test_an_argument_that_was_not_given_leaves_the_others_alone(env):
    env(JOBSD_TIMEZONE="Asia/Jakarta", JOBSD_WORKER__RETRIES="1")
    settings = load_settings(timezone=None, worker={"retries": None}).settings
    assert (settings.timezone, settings.worker.retries) == ("Asia/Jakarta", 1)


def test_tasks_in_a_variable_are_separated_by_commas_or_json(env):
    env(JOBSD_TASKS="tasks, shop.tasks")
    assert load_settings().settings.tasks == ["tasks", "shop.tasks"]
    env(JOBSD_TASKS='["a", "b.c"]')
    assert load_settings().settings.tasks == ["a", "b.c"]


def test_the_state_folder_is_a_setting_like_the_others(env):
    env(JOBSD_STATE="~/jobsd")
    loaded = load_settings()
    assert loaded.settings.state == Path("~/jobsd").expanduser()
    assert loaded.origins["state"] == "environment JOBSD_STATE"


# The file


def test_the_file_is_looked_for_in_the_folder_and_then_in_config():
    toml("tasks = ['b']", "config/jobsd.toml")
    assert load_settings().file == Path("config/jobsd.toml")
    toml("tasks = ['a']")
    assert load_settings().settings.tasks == ["a"]
    assert load_settings().file == Path("jobsd.toml")


def test_a_named_file_is_taken_instead_of_the_one_that_would_be_found(env):
    toml("tasks = ['found']")
    env(JOBSD_CONFIG=str(toml("tasks = ['named']", "by/variable.toml")))
    assert load_settings().settings.tasks == ["named"]
    assert load_settings(toml("tasks = ['argument']", "by/argument.toml")).settings.tasks == ["argument"]


def test_a_named_file_that_is_missing_is_an_error(env):
    assert problems(config=Path("gone.toml")) == ["gone.toml: no such file; it is named by --config"]
    env(JOBSD_CONFIG="away.toml")
    assert problems() == ["away.toml: no such file; it is named by environment JOBSD_CONFIG"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks = []\nx = = 1", "jobsd.toml: line 2, column 5: invalid value"),
        ("[worker]\n[worker]", "jobsd.toml: line 2, column 8: cannot declare ('worker',) twice"),
        ('\nx = """abc', "jobsd.toml: line 2, column 11: unterminated string"),
        ("x = [1,", "jobsd.toml: line 1, column 8: invalid value"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_line_and_column(text, message):
    toml(text)
    assert problems() == [message]


def test_a_file_that_is_no_text_or_no_file_is_an_error():
    Path("jobsd.toml").write_bytes(b"\xff\xfe")
    assert problems() == ["jobsd.toml: is not UTF-8 text"]
    assert problems(config=Path()) == [".: cannot be read: Is a directory"]
    Path("jobsd.toml").unlink()
    Path(".env").write_bytes(b"\xff\xfe")
    assert problems() == [".env: is not UTF-8 text"]


# Queues


def test_a_bare_number_is_a_weight():
    toml('[queues]\nhigh = 5\nlow = { weight = 2 }\nplain = {}\n"arq:queue" = 1')
    loaded = load_settings()
    assert weights(loaded.settings) == {"high": 5, "low": 2, "plain": QueueOptions().weight, "arq:queue": 1}
    assert loaded.origins['queues."arq:queue".weight'] == "jobsd.toml"
    assert loaded.origins["queues.plain.weight"] == "default"


def test_a_table_of_queues_names_all_that_are_served(env):
    toml("[queues]\nmails = 1")
    assert weights(load_settings().settings) == {"mails": 1}
    env(JOBSD_QUEUES='{"reports": 2}')
    assert weights(load_settings().settings) == {"reports": 2}
    assert weights(load_settings(queues={"exports": 3}).settings) == {"exports": 3}


def test_one_variable_changes_one_queue(env):
    env(JOBSD_QUEUES__LOW__WEIGHT="2")
    assert weights(load_settings().settings) == {"critical": 6, "default": 3, "low": 2}
    env(JOBSD_QUEUES='{"a": 1}', JOBSD_QUEUES__B="4")
    assert weights(load_settings().settings) == {"a": 1, "b": 4, "low": 2}


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 128, "arq:queue", "shop:mail-2"])
def test_names_that_a_queue_may_have(name):
    assert weights(load_settings(queues={name: 1}).settings) == {name: 1}


@pytest.mark.parametrize("name", ["", "two words", "x" * 129, "ä", "{main}"])
def test_names_that_a_queue_may_not_have(name):
    (problem,) = problems(queues={name: 1})
    assert problem.startswith("argument: queues.")
    assert problem.endswith(f"is no name for a queue; allowed are {QUEUE_ALLOWED}")


# REDIS_HOST and its kin


@pytest.mark.parametrize("password", ["hunter2", "p@ss", "a/b#c?d", "100%", ":;&=+ x", "\u00e9\u4e16", "%41"])
def test_a_password_of_any_letters_arrives_as_it_is(password, env):
    env(REDIS_HOST="cache.internal", REDIS_PORT="6380", REDIS_PASSWORD=password, REDIS_DB="3")
    loaded = load_settings()
    parts = urlsplit(redis_address(loaded.settings))
    assert unquote(parts.password or "") == password
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == ("redis", "cache.internal", 6380, "/3")
    assert loaded.origins["redis_url"] == "environment REDIS_HOST"
    assert password not in str(loaded.values())


def test_a_host_alone_has_the_usual_port_and_no_password(env):
    env(REDIS_HOST="localhost")
    assert redis_address(load_settings().settings) == "redis://localhost:6379/0"
    env(REDIS_HOST="::1")
    assert redis_address(load_settings().settings) == "redis://[::1]:6379/0"


def test_the_parts_may_be_spread_over_the_environment_and_dotenv(env):
    dotenv("REDIS_HOST=cache\nREDIS_DB=1\nREDIS_PASSWORD=old")
    env(REDIS_PASSWORD="new")  # noqa: S106
    loaded = load_settings()
    assert redis_address(loaded.settings) == "redis://:new@cache:6379/1"
    assert loaded.origins["redis_url"] == ".env REDIS_HOST"


def test_the_daemon_and_the_client_read_the_same_address_from_the_environment(env):
    for names in (
        {"REDIS_HOST": "h", "REDIS_PORT": "1", "REDIS_PASSWORD": "p@/ss", "REDIS_DB": "2"},
        {"REDIS_HOST": "h"},
        {"JOBSD_REDIS_URL": "redis://other"},
    ):
        env(**names)
        assert redis_address(load_settings().settings) == redis_url_of(os.environ)


def test_wrong_parts_are_named_by_their_variables(env):
    dotenv("REDIS_DB=first")
    env(REDIS_HOST="redis://:hunter2@h", REDIS_PORT="tcp://10.0.0.1:6379", REDIS_PASSWORD="\udcff")  # noqa: S106
    assert problems() == [
        'environment REDIS_HOST: "redis://:***@h" is not the name of a host; JOBSD_REDIS_URL takes a whole address',
        'environment REDIS_PORT: "tcp://10.0.0.1:6379" is not a port; allowed is 1 to 65535',
        "environment REDIS_PASSWORD: is not UTF-8 text",
        '.env REDIS_DB: "first" is not the number of a database; allowed is 0 or more',
    ]


def test_wrong_parts_that_nobody_asks_for_are_no_problem(env):
    env(REDIS_PORT="tcp://10.0.0.1:6379")
    assert load_settings().settings.redis_url is None
    env(REDIS_HOST="h", JOBSD_REDIS_URL="redis://other")
    assert redis_address(load_settings().settings) == "redis://other"


def test_redis_enable_false_switches_off_whatever_address_the_environment_has(env):
    env(REDIS_ENABLE="false", JOBSD_REDIS_URL="redis://other")
    loaded = load_settings()
    assert loaded.origins["redis_enable"] == "environment REDIS_ENABLE"
    with pytest.raises(DisabledError):
        redis_address(loaded.settings)


def test_an_address_given_as_an_argument_is_used_in_any_case(env):
    env(REDIS_ENABLE="false")
    assert redis_address(load_settings(redis_url="redis://here").settings) == "redis://here"


def test_without_an_address_the_ways_to_give_one_are_told():
    with pytest.raises(NotConfiguredError, match=r"^no address for Redis: set JOBSD_REDIS_URL=redis://host:6379/0"):
        redis_address(load_settings().settings)


# What is wrong


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("taks = []", 'taks: unknown key; did you mean "tasks"?'),
        ("banana = 1", f"banana: unknown key; allowed here: {TOP}"),
        ("[banana]", f"banana: unknown key; allowed here: {TOP}"),
        ("[workers]\nx = 1\ny = 2", 'workers: unknown key; did you mean "worker"?'),
        ("concurrency = 5", 'concurrency: unknown key; did you mean "worker.concurrency"?'),
        ("weight = 5", 'weight: unknown key; did you mean "queues.*.weight"?'),
        ("[worker]\nconcurency = 5", 'worker.concurency: unknown key; did you mean "concurrency"?'),
        ("[worker]\ntasks = []", 'worker.tasks: unknown key; did you mean "tasks"?'),
        ("[queues]\nlow = { wieght = 5 }", 'queues.low.wieght: unknown key; did you mean "weight"?'),
        ("[queues.low]\nbanana = 5", f"queues.low.banana: unknown key; allowed here: {QUEUE}"),
        ("[queues.low.per_key]\nrates = 5", 'queues.low.per_key.rates: unknown key; did you mean "rate"?'),
        ("[resources.stripe]\nbanana = 5", "resources.stripe.banana: unknown key; allowed here: concurrency, rate"),
        ("[records]\nmigrat = 5", 'records.migrat: unknown key; did you mean "migrate"?'),
        ("[log]\nlvl = 5", 'log.lvl: unknown key; did you mean "level"?'),
        ("tasks = 5", 'tasks: 5 is not a list such as ["tasks"]'),
        ("tasks = [5]", "tasks: 5 is not text"),
        ('tasks = ["a", "my-tasks"]', 'tasks: "my-tasks" is not a module to import, such as "tasks" or "shop.tasks"'),
        ("timezone = 7", "timezone: 7 is not text"),
        (
            'timezone = "Asia/Jakata"',
            'timezone: "Asia/Jakata" is not the name of a time zone; did you mean "Asia/Jakarta"?',
        ),
        ('timezone = "?"', 'timezone: "?" is not the name of a time zone, such as "UTC" or "Asia/Jakarta"'),
        ('timezone = "Asia"', 'timezone: "Asia" is not the name of a time zone; did you mean'),
        ("state = 5", "state: 5 is not a path"),
        ('redis_enable = "maybe"', 'redis_enable: "maybe" is not true or false'),
        ('redis_url = "http://h"', f'redis_url: "http://h" is not {REDIS}'),
        ('redis_url = "redis://h:port"', f'redis_url: "redis://h:***" is not {REDIS}'),
        ('redis_url = "redis://h/zero"', f'redis_url: "redis://h/zero" is not {REDIS}'),
        ('redis_url = "redis://"', f'redis_url: "redis://" is not {REDIS}'),
        ('redis_url = "unix://"', f'redis_url: "unix://" is not {REDIS}'),
        ('redis_url = "redis://:a/b@h"', f'redis_url: "redis://:***@h" is not {REDIS}{QUOTING}'),
        ('redis_url = "redis://:a#b@h"', f'redis_url: "redis://:***@h" is not {REDIS}{QUOTING}'),
        ('redis_url = "redis://u:1#b@h"', f'redis_url: "redis://u:***@h" is not {REDIS}{QUOTING}'),
        ('database_url = "postgres://u:1/b@h/x"', f'database_url: "postgres://u:***@h/x" is not {POSTGRES}{QUOTING}'),
        ('timezone = "redis://:hunter2@h"', 'timezone: "redis://:***@h" is not the name of a time zone, such as'),
        ('worker = "redis://:hunter2@h"', 'worker: "redis://:***@h" is not a table'),
        ('database_url = "sqlite:///x"', f'database_url: "sqlite:///x" is not {POSTGRES}'),
        ('database_url = "hunter2"', f'database_url: "***" is not {POSTGRES}'),
        ("database_url = 5", "database_url: *** is not text"),
        ("worker = 5", "worker: 5 is not a table"),
        ("[worker]\nconcurrency = 0", "worker.concurrency: 0 is out of range; allowed is 1 to 10,000"),
        ("[worker]\nconcurrency = 1.5", "worker.concurrency: 1.5 is not a whole number; allowed is 1 to 10,000"),
        ("[worker]\nconcurrency = true", "worker.concurrency: true is not a whole number; allowed is 1 to 10,000"),
        ('[worker]\nretries = "many"', 'worker.retries: "many" is not a whole number; allowed is 0 to 1,000'),
        ("[worker]\nkeep_archived_count = -1", "worker.keep_archived_count: -1 is out of range; allowed is 0 or more"),
        ("[worker]\ntimeout = 30", f"worker.timeout: 30 is not {DURATION}"),
        ('[worker]\ntimeout = "5 parsecs"', f'worker.timeout: "5 parsecs" is not {DURATION}'),
        ('[worker]\nlease = "2h"', 'worker.lease: "2h" is out of range; allowed is 1s to 1h'),
        ("queues = 5", "queues: 5 is not a table"),
        ("[queues]", "queues: is empty; at least one is needed"),
        ('[queues]\nlow = "much"', 'queues.low.weight: "much" is not a whole number; allowed is 0 to 1,000'),
        ("[queues]\nlow = 1001", "queues.low.weight: 1001 is out of range; allowed is 0 to 1,000"),
        ("[queues]\nlow = { concurrency = 0 }", "queues.low.concurrency: 0 is out of range; allowed is 1 to 10,000"),
        (
            "[queues]\nlow = { global_concurrency = true }",
            "queues.low.global_concurrency: true is not a whole number; allowed is 1 to 10,000",
        ),
        ('[queues]\nlow = { rate = "5 a day" }', f'queues.low.rate: "5 a day" is not {RATE}'),
        ("[queues]\nlow = { rate = 5 }", f"queues.low.rate: 5 is not {RATE}"),
        ('[queues]\nlow = { hours = "nights" }', 'queues.low.hours: "nights" in "nights" is not two times of'),
        ("[queues]\nlow = { per_key = 1 }", "queues.low.per_key: 1 is not a table"),
        ("[resources]\nstripe = 0", "resources.stripe.concurrency: 0 is out of range; allowed is 1 to 10,000"),
        (
            '[resources]\n"a b" = 1',
            'resources."a b": is no name for a resource; allowed are 1 to 128 of A-Z a-z 0-9 . _ : @ + -',
        ),
        ('[log]\nlevel = "warn"', f'log.level: "warn" is not one of {LEVELS}; did you mean "WARNING"?'),
        ('[log]\nformat = "xml"', 'log.format: "xml" is not one of "auto", "console", "json"'),
        ('[records]\nkeep = "0s"', 'records.keep: "0s" is out of range; allowed is 1h or more'),
        ("[records]\nkeep = 90", f"records.keep: 90 is not {DURATION}"),
        (
            '[records]\nkeep_outcomes = { failed = "30m" }',
            'records.keep_outcomes.failed: "30m" is out of range; allowed is 1h or more',
        ),
        ("[records]\nmigrate = true", 'records.migrate: true is not one of "auto", "manual"'),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_told_with_key_and_allowed_values(text, problem):
    toml(text, "config/jobsd.toml")
    (found,) = problems()
    if problem.endswith(("did you mean", "such as", "is not two times of")):
        assert found.startswith(f"config/jobsd.toml: {problem}")
    else:
        assert found == f"config/jobsd.toml: {problem}"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("JOBSD_WORKER__CONCURENCY", "5", "worker.concurency: unknown key; did you mean JOBSD_WORKER__CONCURRENCY?"),
        ("JOBSD_WORKER_TIMEOUT", "5s", "worker_timeout: unknown key; did you mean JOBSD_WORKER__TIMEOUT?"),
        ("JOBSD_WORKR__TIMEOUT", "5s", "workr.timeout: unknown key; did you mean JOBSD_WORKER__TIMEOUT?"),
        ("JOBSD_QUEUES_LOW_WEIGHT", "5", "queues_low_weight: unknown key; did you mean JOBSD_QUEUES__*__WEIGHT?"),
        ("JOBSD_REDIS", "x", "redis: unknown key; did you mean JOBSD_REDIS_URL?"),
        ("JOBSD_CONFG", "x", "confg: unknown key; did you mean JOBSD_CONFIG?"),
        ("JOBSD_VALKEY_SERVR", "x", "valkey_servr: unknown key; did you mean JOBSD_VALKEY_SERVER?"),
        ("JOBSD_BANANA", "hunter2", f"banana: unknown key; allowed here: {TOP}"),
        ("JOBSD_WORKER__CONCURRENCY", "x", 'worker.concurrency: "x" is not a whole number; allowed is 1 to 10,000'),
        ("JOBSD_WORKER__TIMEOUT", "30", f'worker.timeout: "30" is not {DURATION}'),
        ("JOBSD_WORKER", "5", 'worker: "5" is not a table; in a variable it is written as JSON'),
        ("JOBSD_QUEUES", "{low", 'queues: "{low" is not a table; in a variable it is written as JSON'),
        ("JOBSD_QUEUES", "{}", "queues: is empty; at least one is needed"),
        ("JOBSD_TIMEZONE__X", "1", 'timezone: {x = "1"} is not text'),
        ("JOBSD_REDIS_URL__X", "hunter2", "redis_url: *** is not text"),
        ("JOBSD_PORT", "8002", f"port: unknown key; allowed here: {TOP}"),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_what_is_wrong_in_a_variable_is_told_with_its_name(place, name, text, problem, env):
    if place == ".env":
        dotenv(f"{name}={text}")
    else:
        env(**{name: text})
    assert problems() == [f"{place} {name}: {problem}"]


def test_variables_that_are_no_settings_are_let_be(env):
    env(
        JOBSD_VALKEY_SERVER="x",
        JOBSD_PG_BINDIR="x",
        JOBSD_EMBEDDED_USER="x",
        JOBSD_SERVICE_HOST="10.0.0.1",  # what Kubernetes sets beside a service named jobsd
        JOBSD_SERVICE_PORT_HTTP="8002",
        JOBSD_PORT="tcp://10.0.0.1:8002",
        JOBSD_PORT_8002_TCP_ADDR="10.0.0.1",
        JOBSD_VALKEY_PORT="tcp://10.0.0.1:6379",
    )
    assert load_settings().settings == Settings()


def test_a_part_of_what_is_no_table_is_not_lost_in_silence(env):
    env(JOBSD_QUEUES="{low", JOBSD_QUEUES__LOW__WEIGHT="2")
    assert problems() == [
        "environment JOBSD_QUEUES__LOW__WEIGHT: queues.low.weight: queues is no table (environment JOBSD_QUEUES)",
        'environment JOBSD_QUEUES: queues: "{low" is not a table; in a variable it is written as JSON',
    ]


def test_a_wrong_argument_is_told_too():
    assert problems(workr=5) == ['argument: workr: unknown key; did you mean "worker"?']


def test_all_problems_are_told_at_once(env):
    toml("tasks = ['a']\n[worker]\nconcurrency = 0\nbanana = 1")
    dotenv("JOBSD_LOG__LEVEL=loud")
    env(REDIS_HOST="a b", JOBSD_BANANA="1", JOBSD_WORKER__RETRIES="x")
    assert [problem.partition(": ")[0] for problem in problems()] == [
        "environment REDIS_HOST",
        "jobsd.toml",
        "environment JOBSD_WORKER__RETRIES",
        "jobsd.toml",
        ".env JOBSD_LOG__LEVEL",
        "environment JOBSD_BANANA",
    ]


def test_a_file_with_a_mistake_does_not_hide_the_other_problems(env):
    toml("=")
    env(JOBSD_TIMEZONE="x y")
    assert [problem.partition(": ")[0] for problem in problems()] == ["jobsd.toml", "environment JOBSD_TIMEZONE"]


def test_messages_are_plain_sentences_without_words_of_the_library(env):
    toml("tasks = 1\nbanana = 1\nworker = 1\n[log]\nlevel = 2\nformat = 'x'\n[queues]\nlow = 'x'\nhigh = 1e400")
    env(JOBSD_STATE="{}", JOBSD_REDIS_ENABLE="x", JOBSD_WORKER__TIMEOUT="9" * 400 + "w")
    text = "\n".join(problems())
    assert not re.search(r"pydantic|Input should|validation|type=|https?:|Value error", text)


# Masking


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("rediss://user:hunter2@h", "rediss://user:***@h"),
        ("redis://hunter2@h", "redis://***@h"),
        ("redis://:hunter2", "redis://:***"),
        ("redis://:12345", "redis://:***"),
        ("redis://user:hunter2", "redis://user:***"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://:hun/ter2@h", "redis://:***@h"),
        ("redis://:hun@ter2@h", "redis://:***@h"),
        ("redis://:hun?ter2#x@h:1/2", "redis://:***@h:1/2"),
        ("unix:///run/v.sock?db=1&password=hunter2", "unix:///run/v.sock?db=1&password=***"),
        ("unix://:hunter2@/run/v.sock", "unix://:***@/run/v.sock"),
        ("postgresql://user:hunter2@h:5432/db?sslmode=require", "postgresql://user:***@h:5432/db?sslmode=require"),
        ("postgresql://user@h/db?password=hunter2&a=b", "postgresql://user@h/db?password=***&a=b"),
        ("postgresql://user:hunter2@h/db?PASSWORD=hunt@er2", "postgresql://user:***@h/db?PASSWORD=***"),
        ("postgresql:///db?host=/run&sslpassword=hunter2", "postgresql:///db?host=/run&sslpassword=***"),
        ("postgresql://u:hunter2@a:1,b:2/db", "postgresql://u:***@a:1,b:2/db"),
        ("host=h password=hunter2", "***"),
        ("hunter2", "***"),
        ("", ""),
        ("://", "://"),
    ],
)
def test_a_masked_address_keeps_all_but_the_password(url, shown):
    assert masked(url) == shown


@given(st.text(alphabet="ab:@/?#[]&=%.,9", max_size=30))
def test_masking_takes_anything_and_never_shows_the_password(text):
    assert "S3CRET" not in masked(f"redis://{text}:S3CRET@host:6379/0")
    assert "S3CRET" not in masked(f"postgresql://user:S3CRET{text}@host/db")
    assert "S3CRET" not in masked(f"postgresql://user:pw@host/db?password=S3CRET{text}")
    masked(text)


def test_a_secret_is_in_no_representation_of_the_settings(env):
    env(JOBSD_REDIS_URL="redis://:hunter2@h", DATABASE_URL="postgresql://u@h/d?password=hunter2")
    loaded = load_settings()
    for shown in (repr(loaded), str(loaded.values()), loaded.settings.model_dump_json()):
        assert "hunter2" not in shown
    assert "hunter2" in redis_address(loaded.settings)


# The sample


def test_the_sample_in_the_checkout_is_valid():
    loaded = load_settings(SAMPLE)
    assert loaded.settings.tasks == ["tasks"]
    assert loaded.settings.timezone == "Asia/Jakarta"
    assert loaded.settings.queues == Settings().queues


def test_the_sample_shows_every_option_with_its_real_default():
    told = re.findall(r"^# (\w+ = .+|\[\w+\])$|^(\[\w+\])$", SAMPLE.read_text(), re.MULTILINE)
    shown = tomllib.loads("\n".join(a or b for a, b in told))
    shown.pop("queues")
    toml("\n".join(a or b for a, b in told if (a or b) != "[queues]"), "shown.toml")
    given = load_settings(Path("shown.toml")).settings
    assert given == Settings()
    for section, options in shown.items():
        if isinstance(options, dict):
            fields = type(getattr(given, section)).model_fields
            assert options.keys() == {name for name, field in fields.items() if field.default not in (None, {})}, (
                section
            )
            for name in fields.keys() - options.keys():
                assert re.search(rf"^#   {name} = ", SAMPLE.read_text(), re.MULTILINE), name
    for name in Settings.model_fields:
        assert re.search(rf"^#? *\[?{name}\b", SAMPLE.read_text(), re.MULTILINE), name
