"""Random valid GraphQL documents, generated from the schema.

Only the names of the arguments are specific to the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_required_argument,
)
from hypothesis import strategies as st

#: The variable for the size of long pages, so that one document can be executed with many sizes.
PAGE_SIZE: Final = "n"
_SIZE_ARGUMENTS: Final = ("first", "last", "limit")
#: Arguments that are never generated: random values would be rejected, or select another file.
_OMITTED_ARGUMENTS: Final = ("after", "before", "upload")
#: Maximum depth of objects; a page has two levels.
_MAX_DEPTH: Final = 9
#: Conditions that search for a text, and that compare names.
_SEARCHES: Final = ("contains", "startsWith", "iContains", "iStartsWith")
#: Fields of filters with nested filters, and the maximum nesting.
_COMBINATIONS: Final = ("AND", "OR", "NOT")
_MAX_COMBINATIONS: Final = 4


@dataclass(frozen=True)
class Query:
    """A document and its variables, except ``PAGE_SIZE``."""

    text: str
    variables: dict[str, Any] = field(default_factory=dict)

    def with_page_size(self, size: int) -> dict[str, Any]:
        """Return all variables."""
        return self.variables | ({PAGE_SIZE: size} if self.has_page_size else {})

    @property
    def has_page_size(self) -> bool:
        return f"${PAGE_SIZE}:" in self.text


@dataclass(frozen=True)
class SampleValues:
    """Values that occur in the current file."""

    #: By argument or filter field: ``username``, ``customer``, ``name``, ``gem``.
    names: dict[str, Sequence[str]]
    dates: Sequence[str]
    ids: Sequence[str]
    #: Ids of uploads that can be read.
    uploads: Sequence[str] = ()
    #: For ``contains``: substrings of names, and near misses.
    substrings: Sequence[str] = ("e", "а", "1", "нет такого")


def random_queries(schema: GraphQLSchema, values: SampleValues) -> st.SearchStrategy[Query]:
    """Generate queries with fragments, aliases, arguments and variables."""
    return st.composite(lambda draw: _Generator(draw, schema, values).query())()


class _Generator:
    """Generator of one document; ``draw`` makes all choices."""

    def __init__(
        self, draw: Callable[[st.SearchStrategy[Any]], Any], schema: GraphQLSchema, values: SampleValues
    ) -> None:
        self.draw = draw
        self.schema = schema
        self.values = values
        self.variable_types = {PAGE_SIZE: "Int! = 20"}
        self.variables: dict[str, Any] = {}
        #: Type and selection set of each fragment.
        self.fragments: list[tuple[str, str]] = []
        self.alias_count = 0

    def query(self) -> Query:
        body = self.selection_set(self.schema.query_type, 0)
        text = body + "".join(
            f" fragment F{number} on {type_name} {selection_set}"
            for number, (type_name, selection_set) in enumerate(self.fragments)
        )
        used = [f"${name}: {type_}" for name, type_ in self.variable_types.items() if f"${name}" in text]
        return Query(f"query ({', '.join(used)}) {text}" if used else text, self.variables)

    # Selection sets

    def selection_set(self, type_: Any, depth: int) -> str:
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            member = self.draw(st.sampled_from(self.schema.get_possible_types(type_)))
            return f"{{... on {member.name} {self.selection_set(member, depth)}}}"
        reusable = [number for number, (type_name, _) in enumerate(self.fragments) if type_name == type_.name]
        if reusable and self.one_in(2):
            return f"{{...F{self.draw(st.sampled_from(reusable))}}}"
        body = f"{{{' '.join(self.fields(type_, depth))}}}"
        if not self.one_in(6):
            return body
        self.fragments.append((type_.name, body))
        spread = f"...F{len(self.fragments) - 1}"
        return f"{{{spread} ... @include(if: true) {{{spread}}}}}"

    def fields(self, type_: Any, depth: int) -> list[str]:
        candidates = list(type_.fields)
        if depth >= _MAX_DEPTH:
            candidates = [name for name in candidates if is_leaf_type(get_named_type(type_.fields[name].type))]
        max_size = 2 if depth else 6
        names = (
            self.draw(st.lists(st.sampled_from(sorted(candidates)), min_size=1, max_size=max_size))
            if candidates
            else []
        )
        selections = []
        for index, name in enumerate(names):
            field_ = type_.fields[name]
            field_type = get_named_type(field_.type)
            nested = "" if is_leaf_type(field_type) else f" {self.selection_set(field_type, depth + 1)}"
            alias = self.alias() if name in names[:index] else ""
            selections.append(f"{alias}{name}{self.arguments(field_)}{nested}")
        return selections or ["__typename"]

    def alias(self) -> str:
        self.alias_count += 1
        return f"a{self.alias_count}: "

    # Arguments

    def arguments(self, field_: GraphQLField) -> str:
        arguments = {}
        for name, argument in field_.args.items():
            if name not in (*_SIZE_ARGUMENTS, *_OMITTED_ARGUMENTS) and (
                is_required_argument(argument) or self.one_in(2)
            ):
                arguments[name] = self.argument(name, argument.type)
        sizes = [name for name in _SIZE_ARGUMENTS if name in field_.args]
        if sizes and not self.one_in(5):
            value = st.sampled_from([f"${PAGE_SIZE}"] * 3 + ["1", "5"])
            arguments[self.draw(st.sampled_from(sizes))] = self.draw(value)
        return f"({', '.join(f'{name}: {value}' for name, value in arguments.items())})" if arguments else ""

    def argument(self, name: str, type_: Any) -> str:
        """Return a literal or the name of a new variable."""
        value = self.value(type_, name)
        if isinstance(get_named_type(type_), GraphQLInputObjectType) and self.one_in(2):
            variable = f"v{len(self.variables)}"
            self.variable_types[variable], self.variables[variable] = str(type_), value
            return f"${variable}"
        return to_literal(value)

    def value(self, type_: Any, name: str, level: int = 0) -> Any:
        """Return a value for the argument or input field with this name; ``level`` counts nested filters."""
        type_ = get_nullable_type(type_)
        if is_list_type(type_):
            sizes = [0, 1, 2, 3, 8] if name in _COMBINATIONS else [1, 2, 4, 30]
            return [self.value(type_.of_type, name, level) for _ in range(self.draw(st.sampled_from(sizes)))]
        if isinstance(type_, GraphQLEnumType):
            return EnumValue(self.draw(st.sampled_from(sorted(type_.values))))
        if isinstance(type_, GraphQLInputObjectType):
            return self.input_object(type_, name, level)
        return self.draw(st.sampled_from(list(self.scalars(type_.name, name))))

    def input_object(self, type_: GraphQLInputObjectType, name: str, level: int) -> dict[str, Any]:
        names = [key for key in sorted(type_.fields) if key not in _COMBINATIONS]
        keys = self.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        if "AND" in type_.fields and level < _MAX_COMBINATIONS and self.one_in(2):
            keys.append(self.draw(st.sampled_from(_COMBINATIONS)))
        # Comparisons of a NameFilter take the names of the field that has the filter.
        inherited = name if type_.name == "NameFilter" else None
        return {
            key: self.value(
                type_.fields[key].type,
                (key not in _SEARCHES and inherited) or key,
                level + (key in _COMBINATIONS),
            )
            for key in keys
        }

    def scalars(self, type_name: str, name: str) -> Sequence[Any]:
        if type_name == "String" and name in _SEARCHES:
            return self.values.substrings
        if name in ("base", "head"):
            return self.values.uploads
        if type_name == "String":
            return self.values.names.get(name, ["", "e", "а", "1", "-2", "resplendent", "нет такого"])
        by_type: dict[str, Sequence[Any]] = {
            "Money": ["0", "1", "100", "4500.50", "8999", "9000000", "99999999999.99"],
            "BigInt": [0, 1, 2, 25, 49, 50, 500, 10**12],
            "Int": [0, 1, 2, 25, 49],
            "DateTime": self.values.dates,
            "ID": self.values.ids,
        }
        return by_type[type_name]

    def one_in(self, count: int) -> bool:
        """Return True with probability 1 / ``count``."""
        return bool(self.draw(st.integers(1, count)) == count)


class EnumValue(str):
    """A name of an enum, which GraphQL writes without quotes."""

    __slots__ = ()


def to_literal(value: Any) -> str:
    """Return a value in the syntax of GraphQL."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {to_literal(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(to_literal, value))}]"
    return value if isinstance(value, EnumValue) else json.dumps(value, ensure_ascii=False)
