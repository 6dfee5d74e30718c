"""Query cost analysis: the cost of an operation in nodes, estimated before it is executed and charged while it runs.

One node represents at most 100 µs of CPU time of the service and PostgreSQL together, so the default limit of 10,000
nodes is at most one second; the benchmark named below searches for operations that take longer. SQLite needs several
times as long to sort a million deals by name, and to compare uploads with many names. Each response reports the cost
and the limit in ``extensions.cost``. The cost consists of

* a constant for each operation and for each field of the document: parsing, validation, planning. Fields with the
  same response path cost more, because validation compares each pair of them;
* the objects and values of a response in which every page is full; values of arguments count too, because they are
  read again for each object;
* while the operation runs, each SQL statement, the rows that the database reads, searches, sorts and groups, and the
  text of the response.

The constants below were measured with ``python -m tests.bench --only worst`` on PostgreSQL 17 and SQLite over a million
deals. The benchmark searches for the operation with the highest CPU time per node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connection
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
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
from strawberry.schema.schema_converter import GraphQLCoreConverter

from deals_api.db_vendor import StatementsTimedOut, StatementTimer
from deals_api.errors import LimitExceeded
from deals_api.reports.conditions import NameScan
from deals_api.reports.deal_filter import RANDOM_ACCESS_COST
from deals_api.reports.deal_stats import DealStatsKey
from deals_api.snapshots import replicas
from graphql_schema.execution.document_limits import (
    count_overlapping_fields,
    count_selections,
    fields_within,
    fragments_by_name,
)

# Costs of the request itself

#: Receive and log the request, look up the upload, write the response: 5 ms.
OPERATION_COST: Final = 80
#: Parse, validate and plan one field or fragment spread: 0.1 to 0.2 ms.
_SELECTION_COST: Final = 2
#: Pairs of fields with the same response path; validation compares them: 4 to 9 µs each.
_FIELD_PAIRS_PER_NODE: Final = 15
#: Build an SQL statement, send it and read its result: 0.8 to 1.5 ms.
STATEMENT_COST: Final = 15
#: Build a statement with groups and aggregates: 3 to 4 ms more.
_GROUPING_COST: Final = 35
#: Build a statement that joins rows with their names: 1 ms more.
_JOIN_COST: Final = 15

#: Build one condition of a filter: 0.1 to 0.3 ms in each statement.
_CONDITION_COST: Final = 2

# Costs of the response

#: An object with its resolvers takes 20 to 60 µs, a value 4 to 12 µs.
VALUES_PER_NODE: Final = 8
#: An id counts as this many values, because it is encoded for each object: 10 to 16 µs.
_ID_VALUES: Final = 2
#: A connection counts as this many values, because it has arguments and reads one more row: 0.1 to 0.2 ms.
_CONNECTION_VALUES: Final = 8
#: A row of a connection counts as this many values if it is read for ``pageInfo`` only: 30 to 50 µs.
_ROW_VALUES: Final = 4
#: An input object counts as this many values: 50 µs.
_INPUT_OBJECT_VALUES: Final = 4
#: A scalar value of an argument counts as this many values, because it is parsed, converted and sent to the database.
_ARGUMENT_VALUES: Final = 3
#: Bytes of text that are encoded, compressed and cached.
_TEXT_BYTES_PER_NODE: Final = 4_000

# Costs of names in Python and in the database

#: Names that Python reads from the database.
_NAMES_PER_NODE: Final = 40
#: PostgreSQL looks names up if the upload has at least about this many names for each of them, by the estimates of its
#: planner; otherwise it reads all names of the upload.
_NAMES_PER_LOOKUP: Final = 200
#: Characters of names that are searched for a substring of any length, or in another upload: 10 to 13 ns each if nearly
#: all of them match; and of names that rows are sorted by, which the database may read with those of other uploads.
_CHARACTERS_PER_NODE: Final = 7_000
#: Characters of names beyond those that the price of their rows includes: 18 ns each in SQLite, which reads whole rows.
_READ_CHARACTERS_PER_NODE: Final = 4_500
#: Groups that the database creates and sorts: 100,000 in 0.4 to 0.7 s.
_GROUPS_PER_NODE: Final = 18
#: Groups that the database sorts by name, with a lookup for each name: 100,000 in 1 to 2 s.
_NAMED_GROUPS_PER_NODE: Final = 6

# Costs of a database operation on a million rows

#: Read and compare a row, keep the first rows: 70 to 170 ms.
_READ: Final = 2_000
#: Keep the first names in an order without an index; long names with a common prefix: 0.9 s.
_SORT_NAMES: Final = 10_000
#: Join a row with its name, and keep the first rows in the order of names: 0.4 s, 0.6 s if there are 100,000 names.
_SORT_BY_NAME: Final = 6_500
#: Convert a name to bytes for a substring search: 200 ms.
_CONVERT: Final = 3_000
#: Compare one more value, or look for a name in a list: 10 to 25 ms.
_COMPARE: Final = 250
#: Look up a purchase by its customer and gem.
_PURCHASE_LOOKUP: Final = 10_000
#: Read a purchase of a customer or gem, and look its name up in a set.
_PURCHASE: Final = 10_000
#: Look up a name in a set: 100 ms if the set has thousands of names, 250 ms if it has 100,000.
_LOOKUP: Final = 1_500
#: Size of the set in which a lookup costs twice as much as in a small one.
_DOUBLE_COST_SET_SIZE: Final = 100_000
#: Look up a row by its name in another upload: 0.5 to 0.8 s, and more for long names.
_MATCH: Final = 6_000


class _SortingCosts(NamedTuple):
    """Costs of groups and ranks. SQLite sorts all rows for both; PostgreSQL puts groups into a hash table."""

    #: Add a row to its group by at most one key; in PostgreSQL 60 to 80 ms.
    group: int
    #: Compare one more key of the group.
    further_key: int
    #: Truncate a date to its period; in PostgreSQL 90 to 110 ms.
    period: int
    #: Truncate a date to a quarter or week, which is not a prefix of its text in SQLite.
    computed_period: int
    #: Sort a row within its parent; in PostgreSQL 0.8 to 1 s.
    rank: int
    #: Sort a row within its parent by a column of another table; in PostgreSQL 2 s.
    rank_joined: int
    #: Read a character of the other table's name beyond those that the price of its row includes.
    joined_character: int


#: By the vendor of the database.
SORTING_COSTS: Final = {
    "postgresql": _SortingCosts(
        group=1_000, further_key=0, period=1_500, computed_period=1_500,
        rank=13_000, rank_joined=27_000, joined_character=0,
    ),
    "sqlite": _SortingCosts(
        group=5_000, further_key=3_500, period=1_500, computed_period=6_500,
        rank=27_000, rank_joined=42_000, joined_character=300,
    ),
}  # fmt: skip
_COMPUTED_PERIODS: Final = {DealStatsKey.QUARTER, DealStatsKey.WEEK}

# Sizes of requests

#: Metadata of an argument that sets a number of objects: the name of the limit that bounds it.
SIZE_LIMIT: Final = "size_limit"
_IDS_ARGUMENT: Final = "ids"
_TYPES_WITH_FIELDS: Final = (GraphQLObjectType, GraphQLInterfaceType)
_INTROSPECTION_FIELDS: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


# Before execution


def estimate_cost(schema: GraphQLSchema, document: DocumentNode, name: str | None, variables: dict[str, Any]) -> int:
    """Return the cost of an operation with full pages, in nodes. The document must be valid."""
    operation = next(
        definition
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        and (name is None or (definition.name and definition.name.value == name))
    )
    root = schema.get_root_type(operation.operation)
    if root is None:
        return 0
    defaults = {
        definition.variable.name.value: definition.default_value for definition in operation.variable_definitions or ()
    }
    visitor = CostVisitor(schema, fragments_by_name(document), defaults, variables)
    values = visitor.count_values(operation.selection_set, root, 1)
    return document_cost(document) + math.ceil(values / VALUES_PER_NODE)


def document_cost(document: DocumentNode) -> int:
    """Return the cost of parsing and validating a document, and of the request around it."""
    selections, pairs = count_selections(document), count_overlapping_fields(document)
    return OPERATION_COST + _SELECTION_COST * selections + pairs // _FIELD_PAIRS_PER_NODE


class CostVisitor:
    """Counts values: a leaf is one value; an object is ``VALUES_PER_NODE`` values in addition to its fields."""

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
        self.counted_fragments: dict[tuple[str, int], float] = {}
        self.variable_sizes: dict[str, int] = {}
        self.introspection_lists = _introspection_list_sizes(schema)

    def count_values(self, selections: SelectionSetNode, parent: GraphQLNamedType, page_size: int) -> float:
        """Count the values of one object; ``page_size`` is the number of rows in its lists."""
        return sum(self.count_selection(node, parent, page_size) for node in selections.selections)

    def count_selection(self, node: Any, parent: GraphQLNamedType, page_size: int) -> float:
        if isinstance(node, FragmentSpreadNode):
            return self.count_fragment(node.name.value, page_size)
        if isinstance(node, InlineFragmentNode):
            condition = node.type_condition and self.schema.get_type(node.type_condition.name.value)
            return self.count_values(node.selection_set, condition or parent, page_size)
        return self.count_field(node, parent, page_size)

    def count_fragment(self, name: str, page_size: int) -> float:
        """Count each fragment once per page size, so that the time does not grow with the expanded document."""
        key = (name, page_size)
        if key not in self.counted_fragments:
            fragment = self.fragments[name]
            condition = self.schema.get_type(fragment.type_condition.name.value)
            self.counted_fragments[key] = (
                self.count_values(fragment.selection_set, condition, page_size) if condition else 0
            )
        return self.counted_fragments[key]

    def count_field(self, node: FieldNode, parent: GraphQLNamedType, page_size: int) -> float:
        name = node.name.value
        field = (isinstance(parent, _TYPES_WITH_FIELDS) and parent.fields.get(name)) or _INTROSPECTION_FIELDS.get(name)
        if field is None:
            return 1  # __typename
        arguments = sum(self.argument_size(argument.value) for argument in node.arguments or ())
        field_type = get_named_type(field.type)
        if node.selection_set is None:
            return arguments + (_ID_VALUES if field_type.name == "ID" else 1)
        if (mean := self.introspection_lists.get((parent.name, name))) is not None:
            return mean * (VALUES_PER_NODE + self.count_values(node.selection_set, field_type, page_size))
        own_page_size = self.requested_page_size(node, field.args)
        is_list = isinstance(get_nullable_type(field.type), GraphQLList)
        if own_page_size is not None and not is_list:
            return arguments + self.count_connection(node.selection_set, field_type, own_page_size)
        page_size = page_size if own_page_size is None else own_page_size
        objects = page_size if is_list else 1
        return arguments + objects * (VALUES_PER_NODE + self.count_values(node.selection_set, field_type, page_size))

    def count_connection(self, selections: SelectionSetNode, connection: GraphQLNamedType, page_size: int) -> float:
        """Count a page. Its rows are read for ``pageInfo`` even if no node is selected, but not for ``totalCount``."""
        values = self.count_values(selections, connection, page_size)
        if any(field.selection_set for field in fields_within([selections], self.fragments)):
            values = max(values, page_size * _ROW_VALUES)
        return VALUES_PER_NODE + _CONNECTION_VALUES + values

    def argument_size(self, value: Any) -> int:
        """Count an argument and its nested values; the argument is a node or a Python value."""
        if isinstance(value, VariableNode):
            name = value.name.value
            if name not in self.variable_sizes:
                self.variable_sizes[name] = self.argument_size(self.variables.get(name, self.defaults.get(name)))
            return self.variable_sizes[name]
        values: Iterable[Any] = ()
        if isinstance(value, ObjectValueNode):
            values = (field.value for field in value.fields)
        elif isinstance(value, dict):
            values = value.values()
        elif isinstance(value, ListValueNode):
            values = value.values
        elif isinstance(value, list):
            values = value
        own = _INPUT_OBJECT_VALUES if isinstance(value, ObjectValueNode | dict) else _ARGUMENT_VALUES
        return own + sum(map(self.argument_size, values))

    def requested_page_size(self, node: FieldNode, arguments: dict[str, Any]) -> int | None:
        """Return the rows requested by ``first``, ``last``, ``limit`` or ``ids``; None for a field without them.

        The field rejects a size above its limit, with a clearer error than that of the cost.
        """
        if _IDS_ARGUMENT in arguments:
            return self.list_length(node)
        maximums = {name: maximum for name, argument in arguments.items() if (maximum := _maximum_size(argument))}
        if not maximums:
            return None
        sizes = [
            self.integer_value(argument.value) for argument in node.arguments or () if argument.name.value in maximums
        ]
        size = next((number for number in sizes if number is not None), None)
        if size is None:
            default = next((arguments[name].default_value for name in maximums), None)
            size = default if isinstance(default, int) else settings.DEALS_LIMITS.page_size
        return min(max(size, 0), max(maximums.values()))

    def list_length(self, node: FieldNode) -> int:
        """Return the length of the argument ``ids``; a single value is a list of one."""
        value: Any = next(argument.value for argument in node.arguments or () if argument.name.value == _IDS_ARGUMENT)
        if isinstance(value, VariableNode):
            name = value.name.value
            value = self.variables.get(name, self.defaults.get(name))
        values = value.values if isinstance(value, ListValueNode) else value
        return len(values) if isinstance(values, list | tuple) else 1

    def integer_value(self, value: Any) -> int | None:
        """Return the integer of a literal or variable; None for other values."""
        if isinstance(value, VariableNode):
            name = value.name.value
            if name in self.variables:
                number = self.variables[name]
                is_integer = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
                return int(number) if is_integer else None  # The specification accepts 5.0 as an Int.
            value = self.defaults.get(name)
        return int(value.value) if isinstance(value, IntValueNode) else None


def _maximum_size(argument: GraphQLArgument) -> int | None:
    """Return the limit of an argument that sets a number of objects; None for other arguments."""
    definition = argument.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    limit = definition and definition.metadata.get(SIZE_LIMIT)
    return limit and getattr(settings.DEALS_LIMITS, limit)


@cache
def _introspection_list_sizes(schema: GraphQLSchema) -> dict[tuple[str, str], float]:
    """Return the mean number of objects in each list of the introspection types, by type and field."""
    types = list(schema.type_map.values())
    fields = [field for type_ in types if isinstance(type_, _TYPES_WITH_FIELDS) for field in type_.fields.values()]
    values = [value for type_ in types if isinstance(type_, GraphQLEnumType) for value in type_.values]
    inputs = [field for type_ in types if isinstance(type_, GraphQLInputObjectType) for field in type_.fields]
    lists: dict[str, dict[str, float]] = {
        "__Schema": {"types": len(types), "directives": len(schema.directives)},
        "__Type": {
            "fields": len(fields) / len(types),
            "enumValues": len(values) / len(types),
            "inputFields": len(inputs) / len(types),
            "interfaces": 1,
            "possibleTypes": 1,
            "ofType": 0.5,  # About half of the field types wrap another type.
        },
        "__Field": {"args": sum(len(field.args) for field in fields) / len(fields)},
        "__Directive": {"args": 1, "locations": 4},
    }
    return {(name, field): size for name, sizes in lists.items() for field, size in sizes.items()}


# During execution


def query_timeout() -> LimitExceeded:
    return LimitExceeded(f"The database needs more than {settings.DEALS_LIMITS.max_query_seconds} s for the operation.")


def _names_to_read(names: int, all_names: int) -> int:
    """Return the number of names, as rows of a sequential scan, that the database reads to look some of them up."""
    return min(names * _NAMES_PER_LOOKUP, all_names)


def _lookup_cost(set_sizes: Sequence[int]) -> int:
    """Return the cost of looking up a million rows in sets of these sizes."""
    return sum(_LOOKUP + _LOOKUP * size // _DOUBLE_COST_SET_SIZE for size in set_sizes)


class CostBudget:
    """The cost of one operation so far, and its limit.

    Each method is called before the work that it charges for, and raises LimitExceeded above the limit.
    """

    def __init__(self) -> None:
        self.limit: int = settings.DEALS_LIMITS.max_nodes
        self.requested = 0
        self.statements = 0
        self.timer = StatementTimer(settings.DEALS_LIMITS.max_query_seconds)
        self._text_cost = 0
        self._is_paused = False

    def consume(self, nodes: int) -> None:
        self.requested += nodes
        if self.requested > self.limit:
            raise LimitExceeded(
                f"The operation costs {self.requested} nodes, and {self.limit} are allowed; request shorter pages, "
                "fewer nested lists or fewer deals."
            )

    def read_rows(self, rows: int, *, sets: Sequence[int] = ()) -> None:
        """Charge for reading rows; ``sets`` are the sizes of the sets in which each row is looked up."""
        self._consume_rows(rows, _READ + _lookup_cost(sets))

    def read_names(self, scan: NameScan) -> None:
        """Charge for reading and comparing names, and for searching some of them for a substring."""
        self.read_rows(scan.names)
        self.consume(scan.conditions * _CONDITION_COST)
        for operations, cost_per_million in (
            (scan.comparisons, _COMPARE),
            (scan.searched, _CONVERT),
            (scan.purchase_lookups, _PURCHASE_LOOKUP),
            (scan.purchases, _PURCHASE),
        ):
            self.consume(operations * cost_per_million // 1_000_000)
        self.consume(scan.characters // _CHARACTERS_PER_NODE)
        self.consume(scan.extra_characters // _READ_CHARACTERS_PER_NODE)

    def compare(self, rows: int, comparisons: int) -> None:
        """Charge for building comparisons, and evaluating them for each row."""
        self.consume(comparisons * _CONDITION_COST)
        self.consume(rows * comparisons * _COMPARE // 1_000_000)

    def match_names(self, names: int, characters: int) -> None:
        """Charge for looking up the names of two uploads in each other, and comparing the rows."""
        self.consume(_JOIN_COST)
        self._consume_rows(names, _MATCH)
        self.consume(characters // _CHARACTERS_PER_NODE)

    def sort_names(self, names: int) -> None:
        """Charge for finding the first names in an order without an index."""
        self._consume_rows(names, _SORT_NAMES)

    def sort_by_name(self, rows: int, all_names: int, characters: int) -> None:
        """Charge for finding the first rows in the order of the names of their customers or gems.

        ``characters``: the total length of ``all_names``, which are those of the upload. The database looks up the
                        names of a few rows, but reads all names for many rows.
        """
        self.consume(_JOIN_COST)
        self._consume_rows(rows, _SORT_BY_NAME)
        self.consume(characters * _names_to_read(rows, all_names) // max(all_names, 1) // _CHARACTERS_PER_NODE)

    def fetch_rows(self, rows: int) -> None:
        """Charge for fetching rows through an index."""
        self.read_rows(rows * RANDOM_ACCESS_COST)

    def rank_rows(self, rows: int, *, joined: bool, extra_characters: int = 0) -> None:
        """Charge for finding the first rows of each parent.

        ``joined``: the statement joins another table; ``extra_characters``: those of its names beyond the ones that the
                    price of its rows includes.
        """
        costs = SORTING_COSTS[connection.vendor]
        self._consume_rows(rows, _READ + (costs.rank_joined if joined else costs.rank))
        self.consume(extra_characters * costs.joined_character // 1_000_000)

    def group_rows(
        self, rows: int, groups: int, *, names: int, periods: Collection[DealStatsKey], sets: Sequence[int] = ()
    ) -> None:
        """Charge for reading rows and grouping them by these periods and ``names`` other keys."""
        self.consume(_GROUPING_COST)
        costs = SORTING_COSTS[connection.vendor]
        grouping = costs.group + costs.further_key * max(names + len(periods) - 1, 0)
        if periods:
            grouping += costs.period if _COMPUTED_PERIODS.isdisjoint(periods) else costs.computed_period
        self._consume_rows(rows, _READ + _lookup_cost(sets) + grouping)
        self.consume(groups // _GROUPS_PER_NODE)

    def sort_groups_by_name(self, groups: int) -> None:
        """Charge for looking up the name of each group and sorting by it."""
        self.consume(groups // _NAMED_GROUPS_PER_NODE)

    def list_names(self, names: int) -> None:
        """Charge for names that Python reads from the database."""
        self.consume(names // _NAMES_PER_NODE)

    def look_up_names(self, names: int, *, all_names: int) -> None:
        """Charge for names that the database looks up, or finds by reading all names of the upload."""
        self.read_rows(_names_to_read(names, all_names))

    def write_text(self, total_bytes: int) -> None:
        """Charge for the text of the response, which has ``total_bytes`` so far."""
        cost = total_bytes // _TEXT_BYTES_PER_NODE
        added, self._text_cost = cost - self._text_cost, cost
        self.consume(added)

    def _consume_rows(self, rows: int, cost_per_million: int) -> None:
        self.consume(rows * cost_per_million // 1_000_000)

    @contextmanager
    def enforce_query_limits(self) -> Iterator[None]:
        """Charge for the SQL statements of this thread, and limit their number and duration."""
        limits = settings.DEALS_LIMITS

        def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            if self._is_paused:
                return run(sql, params, many, context)
            self.statements += 1
            if self.statements > limits.max_sql_queries:
                raise LimitExceeded(f"The operation takes more than {limits.max_sql_queries} statements.")
            self.consume(STATEMENT_COST)
            try:
                return self.timer.execute(run, sql, params, many, context)
            except StatementsTimedOut:
                raise query_timeout() from None

        with self.timer.installed(), replicas.execute_wrapper(execute):
            yield

    @contextmanager
    def query_limits_paused(self) -> Iterator[None]:
        """Execute a mutation, which is free and may wait for other mutations without a time limit."""
        self._is_paused = True
        try:
            with self.timer.paused():
                yield
        finally:
            self._is_paused = False
