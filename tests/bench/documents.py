"""Random valid GraphQL documents, generated from the schema.

Independent of the service, except for the names of its arguments.
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
_SIZES: Final = ("first", "last", "limit")
#: Arguments that are left out: random values would be rejected, or select another file.
_LEFT_OUT: Final = ("after", "before", "upload")
#: Most levels of objects; a page has two.
_LEVELS: Final = 9


@dataclass(frozen=True)
class Query:
    """A document and its variables, except ``PAGE_SIZE``."""

    text: str
    variables: dict[str, Any] = field(default_factory=dict)

    def with_page_size(self, size: int) -> dict[str, Any]:
        return self.variables | ({PAGE_SIZE: size} if self.has_page_size else {})

    @property
    def has_page_size(self) -> bool:
        return f"${PAGE_SIZE}:" in self.text


@dataclass(frozen=True)
class SampleValues:
    """Values that occur in the current file."""

    #: By what they are compared with: ``username``, ``customer``, ``name``, ``gem``.
    names: dict[str, Sequence[str]]
    dates: Sequence[str]
    ids: Sequence[str]
    #: For ``contains``: parts of names, and substrings that nearly are.
    substrings: Sequence[str] = ("e", "а", "1", "нет такого")


def random_queries(schema: GraphQLSchema, values: SampleValues) -> st.SearchStrategy[Query]:
    """Any query, with fragments, aliases, arguments and variables."""
    return st.composite(lambda draw: _Writer(draw, schema, values).query())()


class _Writer:
    """Generates one document; ``draw`` makes all choices."""

    def __init__(
        self, draw: Callable[[st.SearchStrategy[Any]], Any], schema: GraphQLSchema, values: SampleValues
    ) -> None:
        self.draw = draw
        self.schema = schema
        self.values = values
        self.declared = {PAGE_SIZE: "Int! = 20"}
        self.variables: dict[str, Any] = {}
        self.fragments: list[tuple[str, str]] = []
        self.names = 0

    def query(self) -> Query:
        body = self.selection(self.schema.query_type, 0)
        text = body + "".join(f" fragment F{place} on {kind} {of}" for place, (kind, of) in enumerate(self.fragments))
        used = [f"${name}: {kind}" for name, kind in self.declared.items() if f"${name}" in text]
        return Query(f"query ({', '.join(used)}) {text}" if used else text, self.variables)

    # Selections of an object

    def selection(self, kind: Any, level: int) -> str:
        if isinstance(kind, GraphQLUnionType | GraphQLInterfaceType):
            some = self.draw(st.sampled_from(self.schema.get_possible_types(kind)))
            return f"{{... on {some.name} {self.selection(some, level)}}}"
        known = [place for place, (name, _) in enumerate(self.fragments) if name == kind.name]
        if known and self.chance(2):
            return f"{{...F{self.draw(st.sampled_from(known))}}}"
        body = f"{{{' '.join(self.fields(kind, level))}}}"
        if not self.chance(6):
            return body
        self.fragments.append((kind.name, body))
        return f"{{...F{len(self.fragments) - 1} ... @include(if: true) {{...F{len(self.fragments) - 1}}}}}"

    def fields(self, kind: Any, level: int) -> list[str]:
        possible = list(kind.fields)
        if level >= _LEVELS:
            possible = [name for name in possible if is_leaf_type(get_named_type(kind.fields[name].type))]
        few = 2 if level else 6
        chosen = self.draw(st.lists(st.sampled_from(sorted(possible)), min_size=1, max_size=few)) if possible else []
        written = []
        for place, name in enumerate(chosen):
            one = kind.fields[name]
            below = get_named_type(one.type)
            inside = "" if is_leaf_type(below) else f" {self.selection(below, level + 1)}"
            written.append(f"{self.alias() if name in chosen[:place] else ''}{name}{self.arguments(one)}{inside}")
        return written or ["__typename"]

    def alias(self) -> str:
        self.names += 1
        return f"a{self.names}: "

    # Arguments

    def arguments(self, one: GraphQLField) -> str:
        given = {}
        for name, argument in one.args.items():
            if name not in (*_SIZES, *_LEFT_OUT) and (is_required_argument(argument) or self.chance(2)):
                given[name] = self.argument(name, argument.type)
        sizes = [name for name in _SIZES if name in one.args]
        if sizes and not self.chance(5):
            given[self.draw(st.sampled_from(sizes))] = self.draw(st.sampled_from([f"${PAGE_SIZE}"] * 3 + ["1", "5"]))
        return f"({', '.join(f'{name}: {value}' for name, value in given.items())})" if given else ""

    def argument(self, name: str, kind: Any) -> str:
        value = self.value(kind, name)
        if isinstance(get_named_type(kind), GraphQLInputObjectType) and self.chance(2):
            variable = f"v{len(self.variables)}"
            self.declared[variable], self.variables[variable] = str(kind), value
            return f"${variable}"
        return written(value)

    def value(self, kind: Any, name: str) -> Any:
        """Something for the argument or the field of a filter that has this name."""
        kind = get_nullable_type(kind)
        if is_list_type(kind):
            return [self.value(kind.of_type, name) for _ in range(self.draw(st.sampled_from([1, 2, 4, 30])))]
        if isinstance(kind, GraphQLEnumType):
            return Enum(self.draw(st.sampled_from(sorted(kind.values))))
        if isinstance(kind, GraphQLInputObjectType):
            some = self.draw(st.lists(st.sampled_from(sorted(kind.fields)), min_size=1, max_size=3, unique=True))
            # The conditions on a name know whose name it is.
            whose = name if kind.name == "NameFilter" else None
            return {one: self.value(kind.fields[one].type, (one != "contains" and whose) or one) for one in some}
        return self.draw(st.sampled_from(list(self.scalars(kind.name, name))))

    def scalars(self, kind: str, name: str) -> Sequence[Any]:
        if kind == "String" and name == "contains":
            return self.values.substrings
        if kind == "String":
            return self.values.names.get(name, ["", "e", "а", "1", "-2", "resplendent", "нет такого"])
        of_kind: dict[str, Sequence[Any]] = {
            "Money": ["0", "1", "100", "4500.50", "8999", "9000000", "99999999999.99"],
            "BigInt": [0, 1, 2, 25, 49, 50, 500, 10**12],
            "Int": [0, 1, 2, 25, 49],
            "DateTime": self.values.dates,
            "ID": self.values.ids,
        }
        return of_kind[kind]

    def chance(self, of: int) -> bool:
        """True once in so many times."""
        return bool(self.draw(st.integers(1, of)) == of)


class Enum(str):
    """A value that is written without quotes."""

    __slots__ = ()


def written(value: Any) -> str:
    """A value of Python in GraphQL's own words."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {written(one)}' for name, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return value if isinstance(value, Enum) else json.dumps(value, ensure_ascii=False)
