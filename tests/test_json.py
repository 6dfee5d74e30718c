"""JSON of REST, exports and commands: exact numbers and unchanged text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from deals_api.formats import dump_json, format_hundredths, format_money, load_json
from deals_api.models import from_hundredths

pytestmark = pytest.mark.database_independent

#: Amounts in hundredths, and their notation.
AMOUNTS = {
    0: "0", 1: "0.01", 10: "0.1", 109: "1.09", 10050: "100.5", 45173100: "451731", 10**11: "1000000000",
    2**63 - 1: "92233720368547758.07",
}  # fmt: skip


@pytest.mark.parametrize(("hundredths", "text"), AMOUNTS.items())
def test_money_is_a_number_with_the_digits_of_the_amount(hundredths: int, text: str) -> None:
    assert dump_json(format_money(from_hundredths(hundredths))) == text.encode()
    assert format_hundredths(hundredths) == text
    assert load_json(text.encode()) == from_hundredths(hundredths)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_money_is_finite(value: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        format_money(Decimal(value))


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**63, 2**64, -(2**63) - 1, 10**40])
def test_integers_of_any_size_are_exact(number: int) -> None:
    assert dump_json(number) == str(number).encode()
    assert load_json(dump_json(number)) == number


def test_decimals_are_read_without_binary_floats() -> None:
    value = load_json(b'{"a": [0.1, 92233720368547758.07, 1.50]}')
    assert list(map(str, value["a"])) == ["0.1", "92233720368547758.07", "1.50"]


@pytest.mark.parametrize(
    "text", ["Ёлка", "💎", "👩‍🚀", "\u2028\u2029", "\ufeff", "\x7f\x80\x9f", "".join(map(chr, range(32))), '"\\/', "%s"]
)
def test_text_is_utf_8_and_only_necessary_characters_are_escaped(text: str) -> None:
    for value in (text, {text: [text]}):
        assert dump_json(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        assert load_json(dump_json(value)) == value


@pytest.mark.parametrize("value", ["\ud800", {"a\udc80": 1}])
def test_unpaired_surrogates_are_never_written(value: Any) -> None:
    with pytest.raises(UnicodeEncodeError):
        dump_json(value)


def test_indentation_changes_only_whitespace() -> None:
    value = {"response": [{"username": "a, b: {[1]}", "gems": [], "more": {}}, None, True]}
    assert dump_json(value, 4).decode() == json.dumps(value, indent=4)
