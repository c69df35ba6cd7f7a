from __future__ import annotations

import dataclasses
import enum
import re
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import pytest
from pydantic import BaseModel, BeforeValidator, Field, RootModel, Secret, SecretBytes, SecretStr
from pydantic_core import from_json, to_json

from jobsd import task
from jobsd.arguments import Arguments
from jobsd.errors import TaskDefinitionError
from jobsd.redaction import REDACTED, Policies, RecordPolicy, policy_of
from jobsd.secret_values import as_they_are, encode_job, masked


class Card(BaseModel):
    number: SecretStr
    holder: str = "Ada"


class Wallet(BaseModel):
    cards: list[Card] = []
    pins: dict[str, SecretStr] = {}
    spare: Card | None = None
    parent: Wallet | None = None
    code: SecretBytes = Field(default=SecretBytes(b""), serialization_alias="theCode")
    pw: str = Field(default="", validation_alias="password")


class Keys(RootModel[list[SecretStr]]):
    pass


class Login(NamedTuple):
    user: str
    password: str


@dataclasses.dataclass
class Account:
    name: str
    key: Secret[int]


class Options(TypedDict):
    pin: SecretStr
    colour: str


class Colour(enum.Enum):
    RED = "red"


def known(function, *redact: str) -> RecordPolicy:
    return policy_of(function, (*redact, "password", "api_key"))


def shown(policy: RecordPolicy, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    told = policy.arguments(args, kwargs)
    return told["args"], told["kwargs"]


# --- by name --------------------------------------------------------------------------------------


async def pays(ctx, amount: int, card_number: str, note: dict[str, Any] | None = None) -> None: ...


def test_a_parameter_is_redacted_by_its_name_however_it_is_given() -> None:
    policy = known(pays, "card_number")
    assert shown(policy, 5, "4111") == ([5, REDACTED], {})
    assert shown(policy, 5, card_number="4111") == ([5], {"card_number": REDACTED})


@pytest.mark.parametrize("key", ["api_key", "API-KEY", "Api_Key", "api-key"])
def test_a_field_is_redacted_at_any_depth_in_any_spelling(key: str) -> None:
    note = {"to": [{"deep": ({key: {"all": "of it"}},)}]}
    assert shown(known(pays), 5, "4111", note) == ([5, "4111", {"to": [{"deep": [{key: REDACTED}]}]}], {})
    assert note["to"][0]["deep"][0][key] == {"all": "of it"}, "the job's own is as it was"


@pytest.mark.parametrize("key", ["api_keys", "my_api_key", "apikey", "", 5, None, ("api_key",), b"other"])
def test_other_names_are_not(key: object) -> None:
    note = {key: "x"}
    assert known(pays).value(note) is note


def test_what_has_nothing_to_hide_is_not_copied() -> None:
    note = {"a": [1, {"b": [2.5, None, "x"]}]}
    assert known(pays).value(note) is note


def test_a_task_whose_arguments_are_plain_is_not_looked_through_when_they_fit() -> None:
    async def plain(
        ctx, n: int, day: date, *names: str, colour: Colour, how: Literal["a", "b"], of: list[int]
    ) -> None: ...
    async def plain_by_name(ctx, n: Annotated[int, Field(gt=1)] = 2) -> None: ...
    async def password(ctx, password: str) -> None: ...
    async def anything(ctx, what) -> None: ...
    async def any_names(ctx, **names: int) -> None: ...
    async def converts(ctx, n: Annotated[int, BeforeValidator(lambda given: given["n"])]) -> None: ...

    assert [known(function).looks for function in (plain, plain_by_name)] == [False, False]
    looked = (password, anything, any_names, converts, pays, account)
    assert [known(function).looks for function in looked] == [True] * len(looked)


def test_named_tuples_and_odd_keys_are_judged_by_what_they_become() -> None:
    class Name(enum.StrEnum):
        KEY = "api_key"

    told = known(pays).result([Login("ada", "hunter2"), {Name.KEY: "hunter2", b"password": "hunter2"}])
    assert told[0] == ["ada", REDACTED]
    assert b"hunter2" not in to_json(told)


def test_what_is_nested_too_deeply_or_has_no_form_is_withheld() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert known(pays).value({"a": deep}) == {"withheld": "nested too deeply to be looked through"}

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    assert known(pays).result(Mute()) == {"withheld": "it has no text: RuntimeError"}


def test_an_object_that_speaks_of_a_secret_is_withheld() -> None:
    class Client:
        def __init__(self, **facts: str) -> None:
            self._facts = facts

        def __str__(self) -> str:
            return f"<Client {self._facts}>"

    assert known(pays).result([Client(host="here")]) == ["<Client {'host': 'here'}>"]
    assert known(pays).result([Client(api_key="hunter2")]) == [{"withheld": "its text mentions what is not shown"}]


# --- by type --------------------------------------------------------------------------------------


async def account(ctx, key: SecretStr, wallet: Wallet, *more: Secret[date]) -> Keys: ...


def wired(*args: Any) -> list[Any]:
    return from_json(as_they_are(args))


def test_secrets_are_known_by_the_type_of_a_parameter_or_of_a_field() -> None:
    wallet = Wallet.model_validate(
        {
            "cards": [{"number": "4111"}, {"number": "4222"}],
            "pins": {"a": "4333"},
            "spare": {"number": "4444"},
            "parent": {"cards": [{"number": "4555"}]},
            "code": "4666",
            "password": "4777",
        }
    )
    args, _ = shown(known(account), *wired(SecretStr("4888"), wallet, Secret[date](date(2026, 1, 4))))
    assert args[0] == args[2] == REDACTED
    assert args[1] == {
        "cards": [{"number": REDACTED, "holder": "Ada"}] * 2,
        "pins": REDACTED,
        "spare": {"number": REDACTED, "holder": "Ada"},
        "parent": args[1]["parent"],
        "theCode": REDACTED,
        "pw": REDACTED,
    }
    assert args[1]["parent"]["cards"] == [{"number": REDACTED, "holder": "Ada"}]


@pytest.mark.parametrize(
    ("hint", "value", "told"),
    [
        (SecretStr | None, "x", REDACTED),
        (dict[str, SecretStr], {"a": "x"}, REDACTED),
        (Annotated[list[SecretBytes], Field(min_length=1)], ["x"], REDACTED),
        (Keys, ["x"], REDACTED),
        (Account, {"name": "a", "key": 5}, {"name": "a", "key": REDACTED}),
        (Options, {"pin": "x", "colour": "red"}, {"pin": REDACTED, "colour": "red"}),
        (list[Login], [["ada", "x"]], REDACTED),
        ("list[Login]", [["ada", "x"]], REDACTED),
        (int, 5, 5),
    ],
)
def test_each_kind_of_annotation_is_looked_into(hint: Any, value: Any, told: Any) -> None:
    async def takes(ctx, it): ...

    takes.__annotations__["it"] = hint
    assert shown(known(takes), value) == ([told], {})


def test_a_result_is_redacted_by_its_own_type_by_the_annotation_and_by_names() -> None:
    async def unannotated(ctx): ...
    async def annotated(ctx) -> SecretStr: ...
    async def unknown(ctx) -> NoSuchName: ...  # noqa: F821

    assert known(annotated).result("x") == REDACTED
    assert known(annotated).result(None) is None
    for function in (unannotated, unknown):
        told = known(function).result({"a": SecretStr("x"), "b": [Card(number=SecretStr("y"))], "password": 5, "n": 1})
        assert told == {"a": REDACTED, "b": [{"number": REDACTED, "holder": "Ada"}], "password": REDACTED, "n": 1}
    assert known(account).result(["x"]) == REDACTED


# --- jobs of which nobody knows the parameters ----------------------------------------------------


def test_arguments_of_an_unknown_task_are_left_out_and_marked() -> None:
    withheld = {"withheld": "who wrote this record does not know the task, nor which fields it hides"}
    args, kwargs = shown(Policies({}, ["pin"])["nobody:knows"], "hunter2", "x", to={"PIN": "1234", "n": 1})
    assert (args, kwargs) == ([withheld], withheld)
    assert shown(Policies()["nobody:knows"]) == ([], {})


def test_arguments_beyond_the_parameters_are_left_out_and_marked() -> None:
    args, _ = shown(known(pays), 1, "2", None, "hunter2", "hunter2")
    assert args == [1, "2", None, {"withheld": "given by position, and the task has no parameter there"}]


# --- JSON of secrets ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "real"),
    [
        (SecretStr("x"), "x"),
        (SecretStr(""), ""),
        (SecretBytes(b"x"), "x"),
        (Secret[date](date(2026, 1, 4)), "2026-01-04"),
        ([{"a": {SecretStr("x")}}, "****"], [{"a": ["x"]}, "****"]),
        (Card(number=SecretStr("x")), {"number": "x", "holder": "Ada"}),
        ({date(2026, 1, 4): Card(number=SecretStr("x"))}, {"2026-01-04": {"number": "x", "holder": "Ada"}}),
        (Account("a", Secret[int](5)), {"name": "a", "key": 5}),
        (Secret[Card](Card(number=SecretStr("x"))), {"number": "x", "holder": "Ada"}),
        (Keys([SecretStr("x")]), ["x"]),
        ("**********", "**********"),
    ],
)
def test_a_secret_travels_as_it_is(value: object, real: object) -> None:
    assert from_json(as_they_are({"it": value})) == {"it": real}


def test_a_job_marks_where_its_secrets_are_and_only_then() -> None:
    job = {"i": "x", "f": "t", "a": (1, SecretStr("s"), [Card(number=SecretStr("n"))]), "k": {"more": {SecretStr("m")}}}
    told = from_json(encode_job(job))
    assert told["x"] == [1, "more", "number"]
    assert told["a"] == [1, "s", [{"number": "n", "holder": "Ada"}]]
    assert told["k"] == {"more": ["m"]}
    assert list(told) == ["i", "f", "a", "x", "k"]
    plain = {"i": "x", "a": ["****"], "k": {"n": 1}}
    assert encode_job(plain) == to_json(plain)


def test_a_value_is_masked_where_its_secrets_are() -> None:
    value = [{SecretStr("x")}, (Card(number=SecretStr("y")),), "**********"]
    assert masked(value) == [[REDACTED], [{"number": REDACTED, "holder": "Ada"}], "**********"]


# --- errors ---------------------------------------------------------------------------------------


async def checked(ctx, password: int, n: int, card: Card, pin: Annotated[int, Field(gt=1)] = 2) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        (
            ("hunter2", 1, {"number": "1"}),
            {},
            "password: input should be a valid integer, unable to parse string as an integer (its value is not shown)",
        ),
        ((1, 1, {"number": ["hunter2"]}), {}, "card.number: input should be a valid string (its value is not shown)"),
        ((1, {"password": "hunter2"}, {"number": "1"}), {}, f"(given {{'password': '{REDACTED}'}})"),
        ((1, 1), {"card": {"number": "1"}, "pin": 0}, "pin: greater_than (its value is not shown)"),
        ((1, Login("ada", "hunter2"), {"number": "1"}), {}, "(given <Login, not shown>)"),
        ((1, "x", {"number": "1"}), {}, "(given 'x')"),
        ((1, 1, {"holder": ["hunter2"], "number": "1", "password": "hunter2"}), {}, "(given ['hunter2'])"),
    ],
)
def test_an_error_about_arguments_shows_no_redacted_value(args, kwargs, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as refused:
        Arguments(checked, ["pin"]).validate(args, kwargs)
    assert "['hunter2']" in told or "hunter2" not in str(refused.value)


# --- the declaration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"record": "some"}, 'record is \'some\'; allowed are "all", "failures" and "none"'),
        ({"record": ["all"]}, "record is \\['all'\\]"),
        ({"redact": ("a", 5)}, r"redact takes names of fields, not \('a', 5\)"),
        ({"redact": 5}, "redact takes names of fields, not 5"),
        ({"redact": " "}, "redact takes names of fields, not ' '"),
    ],
)
def test_what_cannot_be_declared_is_told(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TaskDefinitionError, match=problem):
        task("redaction:bad", **options)(pays)


def test_one_name_may_be_given_alone() -> None:
    assert task("redaction:one", redact="pin")(pays).redact == ("pin",)
