"""What an operation may cost, before it runs and while it does.

Answers for every limit of GraphQL but the size of its body. Before: the *shape* of a document, and its
*nodes*: what it could return if every page were full. While: the deals that the database must look at,
and the statements. All walks remember each fragment, so their time grows with the document, not with
what it unfolds to. Knows the schema as graphql-core sees it and none of our types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.db import connection
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    StringValueNode,
    TypeMetaFieldDef,
    VariableNode,
    Visitor,
    get_named_type,
    get_nullable_type,
    visit,
)

from deals_api.database import StatementsTimedOut, StatementTimer
from deals_api.errors import LimitExceeded
from deals_api.selections import SCATTERED, NameScan

# A node stands for up to 70 µs of one core, so that the 10,000 of the published limit are 0.7 s. Measured in the
# processor time of Python and PostgreSQL, on a million deals, by ``python -m tests.bench --only worst``.

#: Values that take what a row does: an object with its resolvers 20 to 60 µs, a value in it 3 to 9.
VALUES_PER_NODE: Final = 8
#: Values of an argument, read anew for each row that it is asked of, that take what one value of an answer does.
_ARGUMENT_VALUES: Final = 2
#: Names that Python is handed one by one.
_NAMES_PER_NODE: Final = 40
#: Characters of names that are searched for a text, of any length: 10 to 12 ns each where nearly all of them match.
_CHARACTERS_PER_NODE: Final = 7_000
#: Groups that the database makes, sorts and, if need be, looks up the names of: 100,000 in 0.4 to 0.7 s.
_GROUPS_PER_NODE: Final = 18

# What a million rows cost by what the database does with each

#: Looks at it, compares it, keeps the first ones: 70 to 170 ms.
_LOOK: Final = 2_000
#: Keeps the first names of an order that no index gives; long ones that begin alike: 0.9 s.
_SORT_NAMES: Final = 10_000
#: Converts a name to bytes, to search it: 200 ms.
_CONVERT: Final = 3_000
#: Finds out whether its name is in a set: 100 ms where the set has thousands of names, 250 where it has 100,000.
_SET: Final = 1_500
_NAMES_THAT_DOUBLE_IT: Final = 100_000
#: Adds it to its group: 60 to 80 ms.
_GROUP: Final = 1_000
#: Cuts its date down to a period: 90 to 110 ms.
_PERIOD: Final = 1_500
#: Sorts it among those of the same parent: 0.8 to 1 s; 2 s by what stands in another table.
_RANK: Final = 13_000
_RANK_ELSEWHERE: Final = 27_000
#: Rows of one question that are counted. What can be asked of a million deals can be asked of more, and takes longer.
_MOST_ROWS: Final = 1_000_000

_SIZES: Final = {"first", "last", "limit"}
#: Python reads no number of more than 4300, and no scalar of ours takes one of more than 19.
_MOST_DIGITS: Final = 100
_WITH_FIELDS: Final = (GraphQLObjectType, GraphQLInterfaceType)
_INTROSPECTION: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


# The shape of a document


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a document is; fragments count wherever they are spread."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    spreads: int = 0

    def beside(self, other: Shape) -> Shape:
        return Shape(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.spreads + other.spreads,
        )


def check_shape(document: DocumentNode) -> None:
    """Raises: LimitExceeded, where any definition of the document is over a limit. The document need not be valid."""
    limits = settings.DEALS_LIMITS
    walk = _ShapeWalk(_fragments(document))
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        shape = walk.of(definition)
        _must_be_within("levels of fields", shape.depth, limits.max_query_depth)
        _must_be_within("fields", shape.fields, limits.max_query_fields)
        _must_be_within("aliases", shape.aliases, limits.max_query_aliases)
        _must_be_within("directives", shape.directives, limits.max_query_directives)
        _must_be_within("spreads of fragments", shape.spreads, limits.max_query_fields)  # even of empty ones
        if isinstance(definition, OperationDefinitionNode):
            roots = sum(1 for _ in fields_within([definition.selection_set], walk.fragments))
            _must_be_within("root fields", roots, limits.max_root_fields)


def _must_be_within(what: str, found: int, most: int) -> None:
    if found > most:
        raise LimitExceeded(f"The document has more than {most} {what}.")


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}


def _looks_at_the_schema(node: Any) -> bool:
    """Whether what is inside is introspection, whose depth graphql-core bounds: frontends ask for 14 levels of it."""
    if isinstance(node, FieldNode):
        return node.name.value.startswith("__")
    condition = getattr(node, "type_condition", None)
    return condition is not None and condition.name.value.startswith("__")


class _ShapeWalk:
    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self.fragments = fragments
        self.known: dict[str, Shape] = {}

    def of(self, node: Any) -> Shape:
        """The shape of a definition, a field or a fragment."""
        shape = Shape(directives=len(node.directives or ()))
        for selection in node.selection_set.selections if node.selection_set else ():
            shape = shape.beside(self.selection(selection))
        return replace(shape, depth=0) if _looks_at_the_schema(node) else shape

    def selection(self, node: Any) -> Shape:
        if isinstance(node, FragmentSpreadNode):
            return self.spread(node.name.value).beside(Shape(spreads=1, directives=len(node.directives or ())))
        inside = self.of(node)
        if not isinstance(node, FieldNode):
            return inside
        field = Shape(fields=1, aliases=int(node.alias is not None))
        return replace(inside, depth=inside.depth + 1).beside(field)

    def spread(self, name: str) -> Shape:
        if name not in self.known:
            self.known[name] = Shape()  # what spreads itself is refused by validation
            if name in self.fragments:
                self.known[name] = self.of(self.fragments[name])
        return self.known[name]


def fields_within(
    selection_sets: Iterable[SelectionSetNode], fragments: dict[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    """The fields of one level, with those that fragments bring; each fragment once."""
    waiting, seen = list(selection_sets), set()
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                if fragment := fragments.get(node.name.value):
                    waiting.append(fragment.selection_set)


# The size of arguments


def check_values(document: DocumentNode, variables: dict[str, Any]) -> None:
    """Raises: LimitExceeded, where a list, a string or a number is over its limit, in the document or the variables."""
    limits = settings.DEALS_LIMITS
    waiting: list[Any] = [variables]
    visit(document, _Values(waiting))
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and len(value) > limits.max_string_length:
            raise LimitExceeded(f"A string is over {limits.max_string_length} characters.")
        if isinstance(value, list | tuple):
            if len(value) > limits.max_list_argument:
                raise LimitExceeded(f"A list has more than {limits.max_list_argument} values.")
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())


class _Values(Visitor):
    """Collects the strings and lists that a document writes out, none of them within too many others.

    (Documents are compared by a function that calls itself at each level, so Python would give up in its middle.)
    """

    def __init__(self, values: list[Any]) -> None:
        super().__init__()
        self.values = values
        self.levels = 0

    def go_in(self, *_: Any) -> None:
        self.levels += 1
        _must_be_within("levels of values", self.levels, settings.DEALS_LIMITS.max_query_depth)

    def come_out(self, *_: Any) -> None:
        self.levels -= 1

    enter_object_value = enter_list_type = go_in
    leave_object_value = leave_list_type = leave_list_value = come_out

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        self.values.append(node.value)

    def enter_int_value(self, node: IntValueNode, *_: Any) -> None:
        if len(node.value) > _MOST_DIGITS:
            raise LimitExceeded(f"A number has more than {_MOST_DIGITS} digits.")

    def enter_list_value(self, node: ListValueNode, *_: Any) -> None:
        self.go_in()
        self.values.append([None] * len(node.values))


# The nodes of an answer


def nodes_of(schema: GraphQLSchema, document: DocumentNode, name: str | None, variables: dict[str, Any]) -> int:
    """What the operation of this name could return if every page were full; the document must be valid."""
    operation = next(
        one
        for one in document.definitions
        if isinstance(one, OperationDefinitionNode) and (name is None or (one.name and one.name.value == name))
    )
    root = schema.get_root_type(operation.operation)
    if root is None:
        return 0
    defaults = {one.variable.name.value: one.default_value for one in operation.variable_definitions or ()}
    walk = _NodeWalk(schema, _fragments(document), defaults, variables)
    return math.ceil(walk.of(operation.selection_set, root, 1) / VALUES_PER_NODE)


class _NodeWalk:
    """Counts values: a leaf is one, an object ``VALUES_PER_NODE`` beside what is asked of it."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: dict[str, FragmentDefinitionNode],
        defaults: dict[str, Any],
        variables: dict[str, Any],
    ) -> None:
        self.schema = schema
        self.fragments = fragments
        self.defaults = defaults
        self.variables = variables
        self.known: dict[tuple[str, int], float] = {}
        self.sizes: dict[str, int] = {}
        self.of_the_schema = _lists_of_the_schema(schema)

    def of(self, selections: SelectionSetNode, parent: GraphQLNamedType, page: int) -> float:
        """Values under one object; ``page`` is how many rows its lists may have."""
        return sum(self.selection(node, parent, page) for node in selections.selections)

    def selection(self, node: Any, parent: GraphQLNamedType, page: int) -> float:
        if isinstance(node, FragmentSpreadNode):
            return self.spread(node.name.value, page)
        if isinstance(node, InlineFragmentNode):
            named = node.type_condition and self.schema.get_type(node.type_condition.name.value)
            return self.of(node.selection_set, named or parent, page)
        name = node.name.value
        field = (isinstance(parent, _WITH_FIELDS) and parent.fields.get(name)) or _INTROSPECTION.get(name)
        if field is None:
            return 1  # __typename
        written = sum(self.size(one.value) for one in node.arguments or ()) // _ARGUMENT_VALUES
        if node.selection_set is None:
            return 1 + written
        named = get_named_type(field.type)
        if (mean := self.of_the_schema.get((parent.name, name))) is not None:
            return mean * (VALUES_PER_NODE + self.of(node.selection_set, named, page))
        asked = self.rows_asked(node, field.args)
        is_list = isinstance(get_nullable_type(field.type), GraphQLList)
        times = (page if asked is None else asked) if is_list else 1
        inside = self.of(node.selection_set, named, page if asked is None else asked)
        return written + times * (VALUES_PER_NODE + inside)

    def spread(self, name: str, page: int) -> float:
        if (name, page) not in self.known:
            fragment = self.fragments[name]
            named = self.schema.get_type(fragment.type_condition.name.value)
            self.known[name, page] = self.of(fragment.selection_set, named, page) if named else 0
        return self.known[name, page]

    def size(self, value: Any) -> int:
        """The values in an argument, or in one of Python's, with those in its lists and objects."""
        if isinstance(value, VariableNode):
            name = value.name.value
            if name not in self.sizes:
                self.sizes[name] = self.size(self.variables.get(name, self.defaults.get(name)))
            return self.sizes[name]
        inside: Iterable[Any] = ()
        if isinstance(value, ObjectValueNode):
            inside = (one.value for one in value.fields)
        elif isinstance(value, ListValueNode):
            inside = value.values
        elif isinstance(value, dict):
            inside = value.values()
        elif isinstance(value, list):
            inside = value
        return 1 + sum(map(self.size, inside))

    def rows_asked(self, node: FieldNode, arguments: dict[str, Any]) -> int | None:
        """The rows that ``first``, ``last`` or ``limit`` ask for; None for a field that has none of them."""
        sizes = _SIZES & arguments.keys()
        if not sizes:
            return None
        limits = settings.DEALS_LIMITS
        given = [self.number(one.value) for one in node.arguments or () if one.name.value in sizes]
        asked = next((number for number in given if number is not None), None)
        if asked is None:
            default = next((arguments[one].default_value for one in sizes), None)
            asked = default if isinstance(default, int) else limits.page_size
        return min(max(asked, 0), limits.max_page_size)

    def number(self, value: Any) -> int | None:
        if isinstance(value, VariableNode):
            name = value.name.value
            if name in self.variables:
                given = self.variables[name]
                whole = isinstance(given, int) or (isinstance(given, float) and given.is_integer())
                return int(given) if whole else None  # 5.0 is an Int too, by the specification
            value = self.defaults.get(name)
        return int(value.value) if isinstance(value, IntValueNode) else None


@cache
def _lists_of_the_schema(schema: GraphQLSchema) -> dict[tuple[str, str], float]:
    """How many objects a field of introspection has in the mean, by type and field."""
    types = list(schema.type_map.values())
    fields = [field for one in types if isinstance(one, _WITH_FIELDS) for field in one.fields.values()]
    values = [value for one in types if isinstance(one, GraphQLEnumType) for value in one.values]
    inputs = [field for one in types if isinstance(one, GraphQLInputObjectType) for field in one.fields]
    lists: dict[str, dict[str, float]] = {
        "__Schema": {"types": len(types), "directives": len(schema.directives)},
        "__Type": {
            "fields": len(fields) / len(types),
            "enumValues": len(values) / len(types),
            "inputFields": len(inputs) / len(types),
            "interfaces": 1,
            "possibleTypes": 1,
            "ofType": 0.5,  # half of what has a type says no more than its name
        },
        "__Field": {"args": sum(len(one.args) for one in fields) / len(fields)},
        "__Directive": {"args": 1, "locations": 4},
    }
    return {(name, field): size for name, of_type in lists.items() for field, size in of_type.items()}


# While it runs


def timed_out() -> LimitExceeded:
    return LimitExceeded(f"The database needs more than {settings.DEALS_LIMITS.max_query_seconds} s for the operation.")


def _look_ups(sets: Sequence[int]) -> int:
    return sum(_SET + _SET * names // _NAMES_THAT_DOUBLE_IT for names in sets)


class Account:
    """What one operation has cost so far, against what it may cost."""

    def __init__(self) -> None:
        self.limit: int = settings.DEALS_LIMITS.max_nodes
        self.requested = 0
        self.statements = 0
        self.timer = StatementTimer(settings.DEALS_LIMITS.max_query_seconds)

    def spend(self, nodes: int) -> None:
        """Raises: LimitExceeded, where the budget does not reach."""
        self.requested += nodes
        if self.requested > self.limit:
            raise LimitExceeded(
                f"The operation costs {self.requested} nodes, and {self.limit} are allowed; ask for shorter pages, "
                "fewer lists in lists, or fewer deals to be read."
            )

    def read_rows(self, rows: int, *, sets: Sequence[int] = ()) -> None:
        """The database is about to look at so many rows, and each up in sets of so many names."""
        self._spend_on(rows, _LOOK + _look_ups(sets))

    def read_names(self, scan: NameScan) -> None:
        """The database is about to look at so many names, and to search some of them for a text."""
        self.read_rows(scan.names)
        self._spend_on(scan.searched, _CONVERT)
        self.spend(scan.characters // _CHARACTERS_PER_NODE)

    def sort_names(self, names: int) -> None:
        """The database is about to take the first of so many names, in an order that no index gives."""
        self._spend_on(names, _SORT_NAMES)

    def fetch_rows(self, rows: int) -> None:
        """The database is about to find so many rows by an index."""
        self.read_rows(rows * SCATTERED)

    def rank_rows(self, rows: int, *, elsewhere: bool) -> None:
        """The database is about to look at so many rows, and to take the first ones of each parent.

        ``elsewhere``: they are in order by columns of another table.
        """
        self._spend_on(rows, _LOOK + (_RANK_ELSEWHERE if elsewhere else _RANK))

    def group_rows(self, rows: int, groups: int, *, sets: Sequence[int] = (), by_period: bool = False) -> None:
        """The database is about to look at so many rows, and to make so many groups of them."""
        self._spend_on(rows, _LOOK + _look_ups(sets) + _GROUP + _PERIOD * by_period)
        self.spend(groups // _GROUPS_PER_NODE)

    def list_names(self, names: int) -> None:
        """Python is about to take so many names into its hands."""
        self.spend(names // _NAMES_PER_NODE)

    def _spend_on(self, rows: int, cost_of_a_million: int) -> None:
        self.spend(min(rows, _MOST_ROWS) * cost_of_a_million // 1_000_000)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the statements of this thread, and stop them when there are too many or they take too long."""
        limits = settings.DEALS_LIMITS

        def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            self.statements += 1
            if self.statements > limits.max_sql_queries:
                raise LimitExceeded(f"The operation takes more than {limits.max_sql_queries} statements.")
            try:
                return self.timer.execute(run, sql, params, many, context)
            except StatementsTimedOut:
                raise timed_out() from None

        with self.timer.installed(), connection.execute_wrapper(execute):
            yield
