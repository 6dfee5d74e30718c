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
    TypeMetaFieldDef,
    VariableNode,
    get_named_type,
    get_nullable_type,
)

from deals_api.db_vendor import StatementsTimedOut, StatementTimer
from deals_api.errors import LimitExceeded
from deals_api.reports.deal_filter import RANDOM_ACCESS_COST, NameScan
from graphql_schema.execution.document_limits import _fragments

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
_RANK_JOINED: Final = 27_000
#: Rows of one question that are counted. What can be asked of a million deals can be asked of more, and takes longer.
_MAX_ROWS: Final = 1_000_000

_SIZES: Final = {"first", "last", "limit"}
_WITH_FIELDS: Final = (GraphQLObjectType, GraphQLInterfaceType)
_INTROSPECTION: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


# The shape of a document


# The size of arguments


# The nodes of an answer


def estimate_cost(schema: GraphQLSchema, document: DocumentNode, name: str | None, variables: dict[str, Any]) -> int:
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
    walk = CostVisitor(schema, _fragments(document), defaults, variables)
    return math.ceil(walk.of(operation.selection_set, root, 1) / VALUES_PER_NODE)


class CostVisitor:
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


class CostBudget:
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
        self.read_rows(rows * RANDOM_ACCESS_COST)

    def rank_rows(self, rows: int, *, elsewhere: bool) -> None:
        """The database is about to look at so many rows, and to take the first ones of each parent.

        ``elsewhere``: they are in order by columns of another table.
        """
        self._spend_on(rows, _LOOK + (_RANK_JOINED if elsewhere else _RANK))

    def group_rows(self, rows: int, groups: int, *, sets: Sequence[int] = (), by_period: bool = False) -> None:
        """The database is about to look at so many rows, and to make so many groups of them."""
        self._spend_on(rows, _LOOK + _look_ups(sets) + _GROUP + _PERIOD * by_period)
        self.spend(groups // _GROUPS_PER_NODE)

    def list_names(self, names: int) -> None:
        """Python is about to take so many names into its hands."""
        self.spend(names // _NAMES_PER_NODE)

    def _spend_on(self, rows: int, cost_of_a_million: int) -> None:
        self.spend(min(rows, _MAX_ROWS) * cost_of_a_million // 1_000_000)

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
