"""Random GraphQL documents over the committed schema, as trees that can be rendered and predicted."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)

from tests.oracle.files import NAMES
from tests.oracle.model import File
from tests.servers import ROOT

SCHEMA: GraphQLSchema = build_schema((ROOT / "graphql_schema" / "schema.graphql").read_text("utf-8"))
QUERY: Any = SCHEMA.type_map["Query"]
#: Fields whose values the oracle does not know, with the reason.
UNPREDICTED = {
    "Upload.arrivedAt": "a time of the database",
    "Upload.finishedAt": "a time of the database",
    "Upload.uploadedBy": "tests/test_uploaded_by.py",
    "Upload.encoding": "tests/test_file_forms.py",
    "Upload.delimiter": "tests/test_file_forms.py",
    "Upload.decimalSeparator": "tests/test_file_forms.py",
    "Upload.dateFormat": "tests/test_file_forms.py",
}
#: Weights of the root fields.
ROOTS = {
    "deals": 6, "customers": 5, "gems": 5, "dealStats": 6, "topClients": 2, "customer": 1, "gem": 1, "node": 2,
    "nodes": 2, "upload": 1, "currentUpload": 2, "uploads": 1, "compare": 3,
}  # fmt: skip
OTHER_ARGUMENTS = (
    "having", "by", "limit", "offset", "upload", "username", "name", "id", "ids", "base", "head", "change",
)  # fmt: skip
#: Conditions on names, which are chosen more often than those on numbers.
NAME_CONDITIONS = ("username", "name", "customer", "gem")
KINDS = ("ADDED", "REMOVED", "CHANGED")


@dataclass(frozen=True)
class Value:
    """A scalar as the client writes it in JSON, and what it means."""

    json: Any
    meaning: Any


@dataclass(frozen=True)
class Name:
    """The name of an enum value."""

    text: str


@dataclass
class Field:
    """A selected field; ``on`` is the type of its inline fragment, if it is in one."""

    name: str
    type_name: str
    alias: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    selection: list[Field] = field(default_factory=list)
    on: str | None = None

    @property
    def key(self) -> str:
        return self.alias or self.name


@dataclass
class Document:
    roots: list[Field]
    text: str
    variables: dict[str, Any]


@dataclass(frozen=True)
class Cursor:
    """A cursor that an earlier response contained, and the row at which it points."""

    text: str
    #: One upload, two for their comparison, or none for the list of uploads.
    upload: Any
    list_name: str
    order: str
    row: Any


class Known:
    """What clients have learned from earlier responses: ids and cursors."""

    def __init__(self) -> None:
        self.ids: dict[str, tuple[File, str, int]] = {}
        self.upload_ids: dict[str, File] = {}
        self.cursors: dict[str, Cursor] = {}
        #: The cursors by upload, list and order.
        self.cursors_of: dict[tuple[Any, str, str], list[Cursor]] = {}
        #: The same ids and cursors, from which one can be chosen quickly.
        self.all_ids: list[Value] = []
        self.all_cursors: list[Cursor] = []

    def remember_id(self, text: str, row: tuple[File, str, int]) -> tuple[File, str, int]:
        """Return the row that was known by this id before, or the given one."""
        if text not in self.ids:
            self.ids[text] = row
            self.all_ids.append(Value(text, text))
        return self.ids[text]

    def remember_cursor(self, cursor: Cursor) -> Cursor:
        """Return the cursor that was known by this text before, or the given one."""
        if cursor.text not in self.cursors:
            self.cursors[cursor.text] = cursor
            self.cursors_of.setdefault((cursor.upload, cursor.list_name, cursor.order), []).append(cursor)
            self.all_cursors.append(cursor)
        return self.cursors[cursor.text]


class Generator:
    """Creates random documents. ``files`` are the retained uploads."""

    def __init__(self, rng: random.Random, known: Known) -> None:
        self.rng, self.known = rng, known

    def document(self, current: File) -> Document:
        self.current = current
        weights = {name: weight for name, weight in ROOTS.items() if name in QUERY.fields}
        names = self.rng.choices(list(weights), list(weights.values()), k=self.rng.choice([1, 1, 2, 3]))
        roots = [self.root(name, f"r{number}") for number, name in enumerate(names)]
        renderer = Renderer(self.rng)
        body = renderer.selection(roots, "Query")
        heading = f"query Q({', '.join(renderer.declarations)}) " if renderer.declarations else ""
        return Document(roots, heading + body, renderer.variables)

    # Selections

    def root(self, name: str, alias: str) -> Field:
        selected = self.field(QUERY, name, lists=3)
        selected.alias = alias
        return selected

    def field(self, parent: GraphQLObjectType, name: str, lists: int) -> Field:
        definition = parent.fields[name]
        arguments = self.arguments(parent, name, definition)
        if name == "compare":
            self.compared = arguments["base"].meaning, getattr(arguments.get("head"), "meaning", self.current)
        named = get_named_type(definition.type)
        return Field(name, parent.name, None, arguments, self.selection(named, lists))

    def selection(self, type_: Any, lists: int) -> list[Field]:
        if isinstance(type_, GraphQLInterfaceType):
            return self.node_selection(lists)
        if not isinstance(type_, GraphQLObjectType):
            return []
        if type_.name.endswith("Connection"):
            lists -= 1
        names = [name for name in type_.fields if f"{type_.name}.{name}" not in UNPREDICTED]
        leaves = [name for name in names if is_leaf_type(get_named_type(type_.fields[name].type))]
        others = [name for name in names if name not in leaves and self.is_reachable(type_.fields[name], lists)]
        chosen = self.rng.sample(leaves, self.rng.randint(min(1, len(leaves)), len(leaves)))
        probability = 0.7 if type_.name.endswith(("Connection", "Page", "Edge")) else 0.25
        chosen += [name for name in others if self.rng.random() < probability or not leaves]
        return [self.field(type_, name, lists) for name in chosen] or [Field("__typename", type_.name)]

    def is_reachable(self, definition: GraphQLField, lists: int) -> bool:
        named = get_named_type(definition.type).name
        return lists > 0 or not named.endswith("Connection")

    def node_selection(self, lists: int) -> list[Field]:
        selected = [Field("__typename", "Node"), Field("id", "Node")]
        for type_name in self.rng.sample(["Customer", "Gem", "Deal", "Purchase", "Upload"], 3):
            for inner in self.selection(SCHEMA.type_map[type_name], lists - 1):
                # The same field of two types may have different types or arguments.
                inner.alias, inner.on = f"{type_name}_{inner.name}", type_name
                selected.append(inner)
        return selected

    # Arguments

    def arguments(self, parent: GraphQLObjectType, field_name: str, definition: GraphQLField) -> dict[str, Any]:
        values: dict[str, Any] = {}
        names = definition.args
        if "orderBy" in names and self.rng.random() < 0.7:
            values["orderBy"] = self.order(names["orderBy"].type)
        if "first" in names:
            values |= self.page(list_name(parent.name, field_name), definition, values)
        if "filter" in names and self.rng.random() < 0.6:
            values["filter"] = self.filter(names["filter"].type, 2)
        for name in OTHER_ARGUMENTS:
            if name in names:
                values |= self.other(parent.name, field_name, name, names[name].type)
        return values

    def order(self, type_: Any) -> Any:
        enum = get_named_type(type_)
        assert isinstance(enum, GraphQLEnumType)
        if not isinstance(type_, GraphQLNonNull) and self.rng.random() < 0.1:
            return None
        return Name(self.rng.choice(list(enum.values)))

    def page(self, name: str, definition: GraphQLField, values: dict[str, Any]) -> dict[str, Any]:
        page: dict[str, Any] = {}
        side = self.rng.choice(["first", "first", "last", ""])
        if side:
            page[side] = self.rng.randint(0, 7)
        order = effective_order(definition, values)
        upload = None if name == "uploads" else self.compared if name.startswith("changed") else self.current
        usable = self.known.cursors_of.get((upload, name, order), [])
        if self.rng.random() < 0.03:
            usable = self.known.all_cursors  # those of other lists, uploads and orders are rejected
        for argument in ("after", "before"):
            chance = self.rng.random()
            if usable and chance < 0.25:
                cursor = self.rng.choice(usable)
                page[argument] = Value(cursor.text, cursor)
            elif chance > 0.95:
                page[argument] = None
        return page

    def other(self, parent: str, field_name: str, name: str, type_: Any) -> dict[str, Any]:
        rng = self.rng
        match name:
            case "having":
                return {name: self.filter(type_, 1)} if rng.random() < 0.4 else {}
            case "by":
                keys = list(get_named_type(type_).values)
                return {name: [Name(rng.choice(keys)) for _ in range(rng.randint(0, 3))]} if rng.random() < 0.9 else {}
            case "limit":
                return {name: rng.randint(1, 30)} if rng.random() < 0.7 else {}
            case "offset":
                return {name: rng.randint(0, 5)} if rng.random() < 0.4 else {}
            case "change":
                return {name: [Name(rng.choice(KINDS)) for _ in range(rng.randint(0, 3))]} if rng.random() < 0.7 else {}
            case "base":
                return {name: rng.choice(self.upload_ids())}
            case "head":
                return {name: rng.choice([*self.upload_ids(), None])} if rng.random() < 0.7 else {}
            case "upload":
                return {name: rng.choice([*self.upload_ids(), None])} if rng.random() < 0.2 else {}
            case "username" | "name":
                return {name: self.name_value(field_name)}
            case "id":
                ids = self.known.all_ids[-200:] if field_name == "node" else []
                return {name: rng.choice([*ids, *self.upload_ids()])}
            case "ids":
                ids = self.known.all_ids or self.upload_ids()
                return {
                    name: [rng.choice([*self.upload_ids(), *rng.choices(ids, k=8)]) for _ in range(rng.randint(0, 8))]
                }
        raise AssertionError(name)

    def upload_ids(self) -> list[Value]:
        return [Value(text, file) for text, file in self.known.upload_ids.items()]

    # Filters

    def filter(self, type_: Any, levels: int) -> dict[str, Any] | None:
        """Return a random filter: possibly null, empty, or with null conditions."""
        input_type = get_named_type(type_)
        assert isinstance(input_type, GraphQLInputObjectType)
        if levels == 2 and self.rng.random() < 0.05:
            return None
        names = [name for name in input_type.fields if levels or name not in ("AND", "OR", "NOT")]
        chosen = self.rng.sample(names, min(len(names), self.rng.choice([0, 1, 1, 1, 2, 3])))
        if self.rng.random() < 0.3:
            chosen += [name for name in NAME_CONDITIONS if name in names and name not in chosen]
        return {name: self.condition(input_type, name, levels) for name in chosen}

    def condition(self, input_type: GraphQLInputObjectType, name: str, levels: int) -> Any:
        type_ = input_type.fields[name].type
        if self.rng.random() < 0.05:
            return None
        if name in ("AND", "OR"):
            return [self.filter(type_, levels - 1) or {} for _ in range(self.rng.randint(0, 3))]
        if name == "NOT":
            return self.filter(type_, levels - 1) or {}
        comparisons = get_named_type(type_)
        assert isinstance(comparisons, GraphQLInputObjectType)
        names = [operator for operator in comparisons.fields if operator[0] != "i" or operator == "in"]
        if self.rng.random() < 0.5:
            names = [operator for operator in comparisons.fields if operator not in names] or names  # ignore the case
        operators = self.rng.sample(names, self.rng.choice([0, 1, 1, 1, 2]))
        return {
            operator: self.operand(comparisons.fields[operator].type, input_type.name, name) for operator in operators
        }

    def operand(self, type_: Any, filter_name: str, name: str) -> Any:
        if self.rng.random() < 0.05:
            return None
        if isinstance(get_nullable_type(type_), GraphQLList):
            return [self.value(get_named_type(type_).name, filter_name, name) for _ in range(self.rng.randint(0, 3))]
        return self.value(get_named_type(type_).name, filter_name, name)

    def value(self, scalar: str, filter_name: str, name: str) -> Value:
        deal = self.rng.choice(self.current.deals)
        if scalar == "String":
            return self.name_value(name)
        if scalar == "Money":
            return self.money_value(self.rng.choice([deal.total, self.current.customers[deal.customer].total]))
        if scalar == "DateTime":
            return self.date_value(deal.date)
        number = self.rng.choice([deal.quantity, self.rng.randint(-1, 6), 2**31, 2**63 - 1])
        return Value(number, number)

    def name_value(self, name: str) -> Value:
        """Return a name of the file or another one, or a part of it, in any case and normalization form."""
        rng, deal = self.rng, self.rng.choice(self.current.deals)
        is_gem = name in ("gem", "name", "boughtGem")
        text = rng.choice([deal.gem if is_gem else deal.customer] * 3 + [rng.choice(NAMES)])
        if rng.random() < 0.4:
            start = rng.randint(0, len(text) - 1)
            text = text[rng.choice([0, start]) : start + rng.randint(0, 3)]
        text = rng.choice([text, text, text, text.upper(), text.lower(), text.title(), f" {text}", "%", "_", ""])
        return Value(rng.choice([text, unicodedata.normalize("NFD", text)]), unicodedata.normalize("NFC", text))

    def money_value(self, hundredths: int) -> Value:
        amount = max(0, hundredths + self.rng.choice([-1, 0, 0, 0, 1]))
        text = f"{amount // 100}.{amount % 100:02}"
        spellings: list[Any] = [text, *([amount // 100] if amount % 100 == 0 else [])]
        return Value(self.rng.choice(spellings), amount)

    def date_value(self, time: datetime) -> Value:
        time = self.rng.choice([time, time, *_bounds(time)])
        try:
            time += self.rng.choice([timedelta(0), timedelta(0), timedelta(microseconds=1), timedelta(microseconds=-1)])
            local = time.astimezone(timezone(timedelta(hours=self.rng.choice([0, 0, 3, -5]))))
        except OverflowError:
            local = time
        return Value(local.isoformat(), time)


def _bounds(time: datetime) -> list[datetime]:
    """Return the first and the last microsecond of the day, and the first one of the month."""
    start = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return [start, time.replace(hour=23, minute=59, second=59, microsecond=999_999), start.replace(day=1)]


def list_name(parent: str, field_name: str) -> str:
    """Return the name of a list: its cursors are valid for every parent, but not in another list."""
    if parent == "UploadComparison":
        return f"changed {field_name}"
    return f"{parent}.{field_name}" if parent in ("Customer", "Gem") else field_name


def effective_order(definition: GraphQLField, arguments: dict[str, Any]) -> str:
    """Return the name of the order, which is the default if the argument is missing or null."""
    if (order := arguments.get("orderBy")) is not None:
        return str(order.text)
    if "orderBy" not in definition.args:
        return "NUMBER_DESC"
    node: Any = definition.args["orderBy"].ast_node
    return str(node.default_value.value)


class Renderer:
    """Renders selections, with some arguments as variables."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.declarations: list[str] = []
        self.variables: dict[str, Any] = {}

    def selection(self, fields: list[Field], type_name: str) -> str:
        return "{" + " ".join(self.fields(fields)) + "}"

    def fields(self, fields: list[Field]) -> Iterator[str]:
        for selected in fields:
            text = self.field(selected)
            yield f"... on {selected.on} {{{text}}}" if selected.on else text

    def field(self, selected: Field) -> str:
        alias = f"{selected.alias}: " if selected.alias else ""
        arguments = ", ".join(
            f"{name}: {self.argument(selected, name, value)}" for name, value in selected.arguments.items()
        )
        inner = self.selection(selected.selection, "") if selected.selection else ""
        return f"{alias}{selected.name}{f'({arguments})' if arguments else ''}{inner}"

    def argument(self, selected: Field, name: str, value: Any) -> str:
        if self.rng.random() < 0.7:
            return literal(value)
        parent: Any = SCHEMA.type_map[selected.on or selected.type_name]
        variable = f"v{len(self.variables)}"
        self.declarations.append(f"${variable}: {parent.fields[selected.name].args[name].type}")
        self.variables[variable] = as_json(value)
        return f"${variable}"


def literal(value: Any) -> str:
    match value:
        case Name():
            return value.text
        case Value():
            return json.dumps(value.json, ensure_ascii=False)
        case dict():
            return "{" + ", ".join(f"{name}: {literal(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)


def as_json(value: Any) -> Any:
    match value:
        case Name():
            return value.text
        case Value():
            return value.json
        case dict():
            return {name: as_json(item) for name, item in value.items()}
        case list():
            return [as_json(item) for item in value]
    return value


def meaning(value: Any) -> Any:
    """Return the values that an argument means."""
    match value:
        case Name():
            return value.text
        case Value():
            return value.meaning
        case dict():
            return {name: meaning(item) for name, item in value.items()}
        case list():
            return [meaning(item) for item in value]
    return value
