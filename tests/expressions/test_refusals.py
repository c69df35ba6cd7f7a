"""What is refused: where, why, and what was probably meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobsd.expressions import ExpressionError, parse
from jobsd.expressions.helpers import daily_at, monthly_on, weekly_on

REFUSED = [
    refused.split("\n    ")
    for refused in (Path(__file__).parent / "refused.txt").read_text("utf-8").strip().split("\n\n")
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_is_refused_is_refused_with_its_place_the_reason_and_a_suggestion(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(text, zone="Asia/Jakarta")
    assert str(refused.value).removeprefix(f"schedule {text!r}").lstrip(",: ") == message
    assert refused.value.text == text


def test_a_refusal_carries_the_place() -> None:
    with pytest.raises(ExpressionError) as refused:
        parse("0  9,24 * * *")
    assert str(refused.value) == (
        "schedule '0  9,24 * * *', characters 6 to 7: hour '24' is over 23; did you mean \"0\"?"
    )
    first, last = refused.value.position
    assert ("0  9,24 * * *"[first:last], refused.value.field) == ("24", "hour")
    assert isinstance(refused.value, ValueError)


def test_where_seconds_are_declared_they_must_be_there() -> None:
    five = "minute, hour, day of the month, month, day of the week"
    for text, message in [
        ("0 9 * * *", f'has 5 fields, and with seconds it needs six: second, {five}; did you mean "0 0 9 * * *"?'),
        ("9 * *", f"has 3 fields, and with seconds it needs six: second, {five}"),
        (
            "30 0 9 * * * # sharp",
            "characters 14 to 20: '# sharp' is no field: behind the six nothing follows, no comment and no command",
        ),
        ("TZ=UTC 0 9 * * *", 'characters 1 to 6: the zone stands beside the expression: zone = "UTC"'),
        ("60 * * * * *", "second '60' is over 59; did you mean \"0\"?"),
        (
            "*/99 * * * * *",
            '\'*/99\' steps over everything but 0; did you mean "0" or, for the whole schedule, "@every 99s"?',
        ),
    ]:
        with pytest.raises(ExpressionError, match=re.escape(message)):
            parse(text, seconds=True)


@pytest.mark.parametrize("given", [5, None, b"* * * * *", ["* * * * *"]])
def test_what_is_no_text_is_refused(given: object) -> None:
    with pytest.raises(ExpressionError, match='is not a text such as "30 0'):
        parse(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\t9 * * *", "schedule '0\\t9 * * *', character 2: '\\t' is a control character; put spaces there"),
        ("0 9 * * *\n", "schedule '0 9 * * *\\n', character 10: '\\n' is a control character; put spaces there"),
        ("\uff10 9 * * *", "schedule '\uff10 9 * * *', character 1: minute '\uff10' is not a number"),
    ],
)
def test_control_characters_and_other_digits_are_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(text)
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match='is empty; write a schedule such as "30 0'):
        parse(text)


def test_a_text_that_is_too_long_is_refused_and_not_repeated() -> None:
    with pytest.raises(ExpressionError) as refused:
        parse("1," * 1_000_000 + "1 * * * *")
    assert str(refused.value) == (
        f"schedule '{'1,' * 30}…', characters 201 to 2000009: is 2000009 characters long; 200 are allowed, "
        "so write several schedules instead"
    )


def test_days_that_never_come_together_are_refused() -> None:
    with pytest.raises(ExpressionError) as refused:
        parse("0 9 1-7 * 5L", both_days=True)
    assert str(refused.value) == (
        "schedule '0 9 1-7 * 5L', characters 5 to 7: is never due: no day fits both the day of the month '1-7' "
        "and the day of the week '5L'"
    )


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ExpressionError) as refused:
        parse("0 9 * * *", zone="Asia/Jakrata")
    assert str(refused.value) == (
        "schedule '0 9 * * *': zone 'Asia/Jakrata' is not the name of a time zone; did you mean \"Asia/Jakarta\"?"
    )


@pytest.mark.parametrize(
    ("zone", "place"),
    [
        ("GMT+7", ', or "Etc/GMT-7", whose sign is the other way round'),
        ("utc -03", ', or "Etc/GMT+3", whose sign is the other way round'),
        ("+07:00", ', or "Etc/GMT-7", whose sign is the other way round'),
        ("UTC+0530", ""),
        ("+15", ""),
        ("GMT+00:00", ', or "UTC"'),
    ],
)
def test_an_offset_is_no_zone(zone: str, place: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse("0 9 * * *", zone=zone)
    assert str(refused.value) == (
        f"schedule '0 9 * * *': zone {zone!r} is an offset, and no time zone; "
        f'name a place, such as "Asia/Jakarta"{place}'
    )


@pytest.mark.parametrize("zone", ["local", "posixrule", "factory"])
def test_no_zone_is_suggested_that_is_another_one_on_each_machine(zone: str) -> None:
    with pytest.raises(ExpressionError, match="is not the name of a time zone") as refused:
        parse("0 9 * * *", zone=zone)
    assert not any(name in str(refused.value) for name in ('"localtime"', '"posixrules"', '"Factory"'))


def test_helpers_refuse_what_is_no_time_and_no_day() -> None:
    for call, message in [
        (lambda: daily_at(24, 0), "schedule 'daily_at(24, 0)': hour is 24; allowed are 0 to 23"),
        (lambda: daily_at(10, 60), "schedule 'daily_at(10, 60)': minute is 60; allowed are 0 to 59"),
        (lambda: daily_at("10"), "schedule \"daily_at('10', 0)\": hour is '10'; allowed are 0 to 23"),
        (lambda: daily_at(True), "schedule 'daily_at(True, 0)': hour is True; allowed are 0 to 23"),
        (
            lambda: weekly_on("moonday", 9),
            (
                "schedule \"weekly_on('moonday', 9, 0)\": 'moonday' is not the name of a day of the week; "
                'did you mean "monday"?'
            ),
        ),
        (
            lambda: weekly_on(0, 9),
            'schedule \'weekly_on(0, 9, 0)\': 0 is not the name of a day of the week; days are "monday" to "sunday"',
        ),
        (lambda: monthly_on(32), "schedule 'monthly_on(32, 0, 0)': day is 32; allowed are 1 to 31"),
    ]:
        with pytest.raises(ExpressionError) as refused:
            call()
        assert str(refused.value) == message
