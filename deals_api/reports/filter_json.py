"""Filters in JSON: the same names, values and limits as the input types of GraphQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from django.conf import settings

from deals_api.errors import LimitExceeded
from deals_api.formats import BigInt, parse_big_int, parse_datetime, parse_money
from deals_api.reports.filters import external_name

F = TypeVar("F")


class InvalidFilter(ValueError):
    """The text is not a filter; the message names the invalid part."""


def parse_filter(text: str, filter_type: type[F]) -> F:
    """Raises: InvalidFilter, LimitExceeded."""
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_reject_constant)
        text.encode()
        json.dumps(value, ensure_ascii=False).encode()  # Unpaired surrogates cannot be stored.
    except InvalidFilter:
        raise
    except (ValueError, RecursionError):
        raise InvalidFilter("Expected a filter in JSON.") from None
    if not isinstance(value, dict):
        raise InvalidFilter("Expected a JSON object.")
    parsed: F = _parse(value, filter_type, "", settings.DEALS_LIMITS.max_query_depth)
    return parsed


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for name, value in pairs:
        if name in unique:
            raise InvalidFilter(f"The field {name!r} occurs twice in one object.")
        unique[name] = value
    return unique


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON.")


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("Expected a string.")
    maximum: int = settings.DEALS_LIMITS.max_string_length
    if len(value) > maximum:
        raise LimitExceeded(f"A string is over {maximum} characters.")
    return value


_SCALARS: Final[dict[Any, Callable[[Any], Any]]] = {
    str: _parse_text,
    Decimal: parse_money,
    BigInt: parse_big_int,
    datetime: parse_datetime,
}


def _parse(value: Any, type_: Any, path: str, levels: int) -> Any:
    """Convert a value to a type; ``levels`` is the number of nested lists and objects that it may have.

    Raises: InvalidFilter, LimitExceeded.
    """
    if value is None:
        return None
    if type_ in _SCALARS:
        try:
            return _SCALARS[type_](value)
        except ValueError as error:
            raise _invalid(path, str(error)) from None
    if not levels:
        raise LimitExceeded(f"The filter has more than {settings.DEALS_LIMITS.max_query_depth} levels.")
    if get_origin(type_) is list:
        return _parse_list(value, get_args(type_)[0], path, levels)
    return _parse_object(value, type_, path, levels)


def _parse_list(value: Any, item_type: Any, path: str, levels: int) -> list[Any]:
    """Convert a list, or a single value to a list, as GraphQL does."""
    items = value if isinstance(value, list) else [value]
    maximum: int = settings.DEALS_LIMITS.max_list_argument
    if len(items) > maximum:
        raise LimitExceeded(f"{path}: The list has more than {maximum} values.")
    if None in items:
        raise _invalid(path, "The list contains null.")
    return [_parse(item, item_type, f"{path}[{index}]", levels - 1) for index, item in enumerate(items)]


def _parse_object(value: Any, type_: Any, path: str, levels: int) -> Any:
    if not isinstance(value, dict):
        raise _invalid(path, "Expected an object.")
    known = _fields(type_)
    unknown = next((name for name in value if name not in known), None)
    if unknown is not None:
        raise _invalid(path, f"Unknown field {unknown!r}; expected {', '.join(known)}.")
    return type_(
        **{
            known[name][0]: _parse(item, known[name][1], f"{path}.{name}".lstrip("."), levels - 1)
            for name, item in value.items()
        }
    )


@cache
def _fields(type_: Any) -> dict[str, tuple[str, Any]]:
    """Return the attribute and the type of each field of a filter by its name in JSON."""
    if not is_dataclass(type_):
        raise TypeError(type_)
    hints = get_type_hints(type_)
    return {
        external_name(item): (item.name, next(hint for hint in get_args(hints[item.name]) if hint is not NoneType))
        for item in fields(type_)
    }


def _invalid(path: str, message: str) -> InvalidFilter:
    return InvalidFilter(f"{path}: {message}" if path else message)
