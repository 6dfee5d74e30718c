"""Filters of every list, compared with a simple model that evaluates them in Python."""

from __future__ import annotations

import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deals_api.models import MAX_FOLDED_LENGTH, Customer, Gem, Upload
from deals_api.names import fold_name, prefix_successor
from deals_api.reports import deal_filter
from tests.builders import deal, load
from tests.graphql import clear_caches, data, error
from tests.long_form import IS_LONG

pytestmark = pytest.mark.django_db

# Values that are hard to compare

NAMES: Final = [
    "ann",
    "Ann",
    "ANN",
    "anna",
    "bob",
    "Straße",
    "STRASSE",
    "strasse",
    "İstanbul",
    "istanbul",
    "Ёлка",
    "ёлка",
    "Елка",
    "ﬃ",
    "ffi",
    "ΐ",
    "ΐ",
    "Σίσυφος",
    "ΣΊΣΥΦΟΣ",
    "é",
    "é",
    "É",
    "ᾳ",
    "a%b",
    "a_b",
    "a\\b",
    "\U0010ffff\U0010ffff",
    "\ud7ff",
    "\ud7ffa",
    "\ue000",
    "\uffff",
    "\U00010000",
    "💎",
    "💎a",
    "a" * 255,
    "ΐ" * 255,
    "ﬃ" * 255,
]
TEXTS: Final = [
    *NAMES,
    "",
    "a",
    "A",
    "n",
    "ss",
    "SS",
    "ß",
    "i",
    "İ",
    "f",
    "FF",
    "ς",
    "Σ",
    "%",
    "_",
    "\0",
    "\U0010ffff",
    " ann",
    "a" * 256,
    "x" * 1000,
]
TOTALS: Final = ["0", "0.01", "7", "7.5", "10", "999999999999.99"]
QUANTITIES: Final = [1, 2, 3, 999_999_999]
DATES: Final = ["0001-01-01T00:00:00Z", "2019-12-31T23:59:59.999999Z", "2020-01-01T00:00:00Z", "2020-01-02T03:04:05Z"]


def as_date(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


# The model


def compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def ignore_case(text: str) -> str:
    return compose(compose(text).casefold())


COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda value, expected: value == expected,
    "in": lambda value, expected: value in expected,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "contains": lambda value, text: text in value,
    "startsWith": lambda value, text: value.startswith(text),
}


def value_matches(conditions: dict[str, Any], value: Any) -> bool:
    def holds(name: str, expected: Any) -> bool:
        if expected is None:
            return True
        if isinstance(value, str):
            convert = ignore_case if name.startswith("i") and name != "in" else compose
            expected = list(map(convert, expected)) if name == "in" else convert(expected)
            name = {"iEq": "eq", "iContains": "contains", "iStartsWith": "startsWith"}.get(name, name)
            return COMPARISONS[name](convert(value), expected)
        parse: Any = {Decimal: Decimal, datetime: as_date, int: int}[type(value)]
        return COMPARISONS[name](value, list(map(parse, expected)) if name == "in" else parse(expected))

    return all(holds(*condition) for condition in conditions.items())


def matches(conditions: dict[str, Any] | None, row: dict[str, Any]) -> bool:
    def holds(name: str, expected: Any) -> bool:
        if expected is None:
            return True
        if name == "AND":
            return all(matches(operand, row) for operand in expected)
        if name == "OR":
            return any(matches(operand, row) for operand in expected)
        if name == "NOT":
            return not matches(expected, row)
        if isinstance(row[name], set):
            return any(value_matches(expected, value) for value in row[name])
        return value_matches(expected, row[name])

    return all(holds(*condition) for condition in (conditions or {}).items())


@dataclass
class Model:
    """The rows of a file, in its order, with the values of all fields that filters compare."""

    deals: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def random(cls, rng: random.Random) -> Model:
        names = [name for name in NAMES if compose(name) == name]
        customers, gems = rng.sample(names, 8), rng.sample(names, 6)
        return cls(
            [
                {
                    "customer": rng.choice(customers),
                    "gem": rng.choice(gems),
                    "total": Decimal(rng.choice(TOTALS)),
                    "quantity": rng.choice(QUANTITIES),
                    "date": as_date(rng.choice(DATES)),
                }
                for _ in range(rng.choice([1, 30]))
            ]
        )

    def load(self) -> Upload:
        return load(
            *(
                deal(
                    row["customer"],
                    row["gem"],
                    str(row["total"]),
                    str(row["quantity"]),
                    row["date"].replace(tzinfo=None).isoformat(" "),
                )
                for row in self.deals
            )
        )

    def groups(self, *keys: str) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
        """Yield the deals by the values of keys, in the order of the first deal."""
        grouped = defaultdict(list)
        for row in self.deals:
            grouped[tuple(row[key] for key in keys)].append(row)
        yield from grouped.items()

    def named(self, key: str, other: str) -> list[dict[str, Any]]:
        """Return the customers or the gems with their sums."""
        return [
            {
                "name": name,
                "username": name,
                "total": total_of(rows),
                "spentMoney": total_of(rows),
                "dealCount": len(rows),
                "gemCount": len({row["gem"] for row in rows}),
                "buyerCount": len({row["customer"] for row in rows}),
                "firstDeal": min(row["date"] for row in rows),
                "lastDeal": max(row["date"] for row in rows),
                "boughtGem": {row[other] for row in rows},
                "boughtBy": {row[other] for row in rows},
            }
            for (name,), rows in self.groups(key)
        ]

    def purchases(self) -> list[dict[str, Any]]:
        return [
            {
                "customer": customer,
                "gem": gem,
                "total": total_of(rows),
                "dealCount": len(rows),
                "quantity": sum(row["quantity"] for row in rows),
            }
            for (customer, gem), rows in self.groups("customer", "gem")
        ]


def total_of(rows: list[dict[str, Any]]) -> Decimal:
    return sum((row["total"] for row in rows), Decimal())


# Random filters


@dataclass
class Filters:
    """Random filters in the form of GraphQL variables."""

    rng: random.Random

    def filter(self, kinds: dict[str, str], levels: int = 3) -> dict[str, Any]:
        """Return a filter of fields with these kinds of values."""
        result: dict[str, Any] = {}
        for _ in range(self.rng.choice([0, 1, 1, 1, 2])):
            name = self.rng.choice(list(kinds))
            result[name] = self.conditions(kinds[name])
        if levels and self.rng.random() < 0.7:
            name = self.rng.choice(["AND", "OR", "NOT"])
            operands = [self.filter(kinds, levels - 1) for _ in range(self.rng.choice([0, 1, 2, 3]))]
            result[name] = self.filter(kinds, levels - 1) if name == "NOT" else operands
        return result

    def conditions(self, kind: str) -> dict[str, Any] | None:
        names = {
            "name": ["eq", "in", "contains", "startsWith", "iEq", "iContains", "iStartsWith"],
        }.get(kind, ["eq", "in", "lt", "lte", "gt", "gte"])
        chosen = self.rng.sample(names, self.rng.choice([0, 1, 1, 2]))
        return {name: self.value(kind, name) for name in chosen} if self.rng.random() < 0.95 else None

    def value(self, kind: str, name: str) -> Any:
        values: Any = {"name": TEXTS, "money": TOTALS, "number": [*QUANTITIES, 0, 10**15], "date": DATES}[kind]
        if self.rng.random() < 0.05:
            return None
        return self.rng.sample(values, self.rng.choice([0, 1, 3])) if name == "in" else self.rng.choice(values)


DEAL: Final = {"customer": "name", "gem": "name", "total": "money", "quantity": "number", "date": "date"}
PURCHASE: Final = {"customer": "name", "gem": "name", "total": "money", "quantity": "number", "dealCount": "number"}
CUSTOMER: Final = {
    "username": "name",
    "spentMoney": "money",
    "dealCount": "number",
    "gemCount": "number",
    "firstDeal": "date",
    "lastDeal": "date",
    "boughtGem": "name",
}
GEM: Final = {
    "name": "name",
    "total": "money",
    "dealCount": "number",
    "buyerCount": "number",
    "firstDeal": "date",
    "lastDeal": "date",
    "boughtBy": "name",
}
STATS: Final = {"total": "money", "dealCount": "number", "quantity": "number", "minTotal": "money"}

QUERY: Final = """
query (
  $deal: DealFilter, $purchase: PurchaseFilter, $customer: CustomerFilter, $gem: GemFilter, $having: DealStatsFilter
) {
  deals(first: 100, filter: $deal) {
    totalCount nodes { customer { username } gem { name } total quantity date }
  }
  customers(first: 100, orderBy: USERNAME_ASC, filter: $customer) { totalCount nodes { username } }
  gems(first: 100, orderBy: NAME_ASC, filter: $gem) { totalCount nodes { name } }
  byGem: dealStats(by: [GEM], limit: 100, filter: $deal) { totalCount nodes { gem { name } total dealCount } }
  extremes: dealStats(by: [CUSTOMER], limit: 100, having: $having) {
    totalCount nodes { customer { username } minTotal dealCount }
  }
  nested: customers(first: 100) {
    nodes {
      username
      deals(first: 100, orderBy: FILE_ASC, filter: $deal) { totalCount nodes { gem { name } total quantity date } }
      purchases(first: 100, filter: $purchase) { totalCount nodes { gem { name } total } }
      gems(first: 100, filter: $gem) { totalCount nodes { name } }
    }
  }
  nestedGems: gems(first: 100) {
    nodes {
      name
      buyers(first: 100, orderBy: USERNAME_ASC, filter: $customer) { totalCount nodes { username } }
      purchases(first: 100, filter: $purchase) { totalCount nodes { customer { username } total } }
    }
  }
}
"""


def expected(model: Model, filters: dict[str, Any]) -> dict[str, Any]:
    """Return what the model answers, with lists of tuples instead of pages."""
    deals = [row for row in model.deals if matches(filters["deal"], row)]
    customers = [row for row in model.named("customer", "gem") if matches(filters["customer"], row)]
    gems = [row for row in model.named("gem", "customer") if matches(filters["gem"], row)]
    purchases = [row for row in model.purchases() if matches(filters["purchase"], row)]
    stats = [
        {
            "customer": customer,
            "total": total_of(rows),
            "dealCount": len(rows),
            "quantity": sum(row["quantity"] for row in rows),
            "minTotal": min(row["total"] for row in rows),
        }
        for (customer,), rows in model.groups("customer")
    ]
    bought = {(row["customer"], row["gem"]) for row in model.deals}
    return {
        "deals": [(row["customer"], *deal_values(row)) for row in deals],
        "customers": sorted(row["username"] for row in customers),
        "gems": sorted(row["name"] for row in gems),
        "byGem": sorted((gem, total_of(rows), len(rows)) for (gem,), rows in Model(deals).groups("gem")),
        "extremes": sorted(
            (row["customer"], row["minTotal"], row["dealCount"]) for row in stats if matches(filters["having"], row)
        ),
        "customer.deals": [[deal_values(row) for row in deals if row["customer"] == name] for name in names(model)],
        "customer.purchases": [
            sorted((row["gem"], row["total"]) for row in purchases if row["customer"] == name) for name in names(model)
        ],
        "customer.gems": [
            sorted(row["name"] for row in gems if (name, row["name"]) in bought) for name in names(model)
        ],
        "gem.buyers": [
            sorted(row["username"] for row in customers if (row["username"], name) in bought)
            for name in names(model, "gem")
        ],
        "gem.purchases": [
            sorted((row["customer"], row["total"]) for row in purchases if row["gem"] == name)
            for name in names(model, "gem")
        ],
    }


def names(model: Model, key: str = "customer") -> list[str]:
    return sorted({row[key] for row in model.deals})


def deal_values(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["gem"], row["total"], row["quantity"], row["date"]


def answered(result: Any) -> dict[str, Any]:
    """Return the answer of the service in the form of the model, after comparing counts with pages."""

    def page(connection_: Any, *paths: str) -> list[Any]:
        assert connection_["totalCount"] == len(connection_["nodes"])
        return [values(node, *paths) for node in connection_["nodes"]]

    def values(node: Any, *paths: str) -> Any:
        found = tuple(convert(path, node) for path in paths)
        return found if len(found) > 1 else found[0]

    def convert(path: str, node: Any) -> Any:
        for part in path.split("."):
            node = node[part]
        if path in ("total", "minTotal"):
            return Decimal(node)
        return as_date(node) if path == "date" else node

    in_deal = ("gem.name", "total", "quantity", "date")
    nested = sorted(result["nested"]["nodes"], key=lambda node: node["username"])
    nested_gems = sorted(result["nestedGems"]["nodes"], key=lambda node: node["name"])
    return {
        "deals": page(result["deals"], "customer.username", *in_deal),
        "customers": page(result["customers"], "username"),
        "gems": page(result["gems"], "name"),
        "byGem": sorted(page(result["byGem"], "gem.name", "total", "dealCount")),
        "extremes": sorted(page(result["extremes"], "customer.username", "minTotal", "dealCount")),
        "customer.deals": [page(node["deals"], *in_deal) for node in nested],
        "customer.purchases": [sorted(page(node["purchases"], "gem.name", "total")) for node in nested],
        "customer.gems": [page(node["gems"], "name") for node in nested],
        "gem.buyers": [page(node["buyers"], "username") for node in nested_gems],
        "gem.purchases": [sorted(page(node["purchases"], "customer.username", "total")) for node in nested_gems],
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inline_names", [200, 1], ids=["lists", "subqueries"])
def test_random_filters_select_the_rows_of_the_model(
    seed: int, inline_names: int, limits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deal_filter, "_MAX_INLINE_NAMES", inline_names)
    limits(max_nodes=10**6, max_sql_queries=10_000, max_filter_conditions=400)
    rng = random.Random(seed)  # noqa: S311
    model = Model.random(rng)
    model.load()
    for _ in range(25 if IS_LONG else 12):
        clear_caches()
        random_filters = Filters(rng)
        kinds = {"deal": DEAL, "purchase": PURCHASE, "customer": CUSTOMER, "gem": GEM, "having": STATS}
        filters = {name: random_filters.filter(kind) for name, kind in kinds.items()}
        assert answered(data(QUERY, **filters)) == expected(model, filters), filters


# Rules of combinations


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ("{}", 3),
        ("{AND: []}", 3),
        ("{OR: []}", 0),
        ("{NOT: {}}", 0),
        ("{NOT: {OR: []}}", 3),
        ("{OR: [{}]}", 3),
        ('{OR: [{OR: []}, {customer: {eq: "ann"}}]}', 2),
        ("{AND: null, OR: null, NOT: null, customer: null, total: {eq: null}}", 3),
        ("{NOT: {customer: {in: []}}}", 3),
        ('{customer: {eq: "ann"}, OR: [{total: {gt: 1}}, {gem: {eq: "opal"}}]}', 1),
        ('{NOT: {customer: {eq: "ann"}, total: {gt: 1}}}', 2),
        ('{OR: [{NOT: {customer: {eq: "ann"}}}, {AND: [{total: {lt: 2}}, {gem: {eq: "ruby"}}]}]}', 2),
    ],
)
def test_combinations_of_deal_filters(conditions: str, count: int) -> None:
    load(deal("ann", "ruby", "1"), deal("ann", "ruby", "2"), deal("bob", "opal", "1"))
    assert data(f"{{deals(filter: {conditions}) {{totalCount}}}}") == {"deals": {"totalCount": count}}


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ("{NOT: {}}", 0),
        ("{NOT: {NOT: {}}}", 2),
        ("{OR: []}", 0),
        ('{OR: [{}, {username: {eq: "ann"}}]}', 2),
        ('{OR: [{OR: []}, {username: {eq: "ann"}}]}', 1),
        ('{NOT: {OR: [{OR: []}, {username: {eq: "ann"}}]}}', 1),
        ('{NOT: {boughtGem: {contains: "x"}}, boughtGem: {}}', 2),
        ('{boughtGem: {eq: "ruby"}, AND: [{boughtGem: {eq: "opal"}}]}', 1),
    ],
)
def test_combinations_of_customer_filters(conditions: str, count: int) -> None:
    load(deal("ann", "ruby"), deal("ann", "opal"), deal("bob", "opal"))
    assert data(f"{{customers(filter: {conditions}) {{totalCount}}}}") == {"customers": {"totalCount": count}}


def test_bounds_are_exclusive_or_inclusive() -> None:
    load(*(deal(total=str(number), date=f"2020-01-0{number} 00:00:00") for number in range(1, 6)))
    for bounds, expected_totals in {
        "lt: %s": ["1", "2"],
        "lte: %s": ["1", "2", "3"],
        "gt: %s": ["4", "5"],
        "gte: %s": ["3", "4", "5"],
        "gt: %s, gte: %s": ["4", "5"],
        "gte: %s, lt: %s": [],
    }.items():
        for column, value in {"total": "3", "date": '"2020-01-03T00:00:00Z"'}.items():
            condition = bounds.replace("%s", value)
            found = data(f"{{deals(filter: {{{column}: {{{condition}}}}}) {{nodes {{total}}}}}}")["deals"]["nodes"]
            assert [node["total"] for node in found] == expected_totals, (column, condition)


def test_sums_of_names_combined_by_or_are_read_from_purchases() -> None:
    load(deal("ann", "ruby", "1"), deal("ann", "opal", "2"), deal("bob", "opal", "4"), deal("bob", "jade", "8"))
    either = '{OR: [{customer: {eq: "ann"}}, {gem: {iEq: "JADE"}}]}'
    query = f"{{dealStats(by: [GEM], filter: {either}, orderBy: GEM_ASC) {{nodes {{gem {{name}} total}}}}}}"
    with CaptureQueriesContext(connection) as captured:
        found = [(group["gem"]["name"], group["total"]) for group in data(query)["dealStats"]["nodes"]]
    assert found == [("jade", "8"), ("opal", "2"), ("ruby", "1")]
    assert not any('FROM "deals_api_deal"' in statement["sql"] for statement in captured)


# Limits


def test_number_of_conditions_in_a_filter_is_limited(limits: Any) -> None:
    load(deal("ann", "ruby", "1"))
    limits(max_filter_conditions=4)
    fields = {
        "deals": '{OR: [{total: {gt: 0, lt: 2}}, {NOT: {gem: {eq: "x"}}}], quantity: {eq: 1}, total: {eq: %s}}',
        "customers": '{OR: [{spentMoney: {gt: 0, lt: 2}}, {boughtGem: {eq: "x"}}], dealCount: {eq: 1, lt: %s}}',
        "gems": '{OR: [{total: {gt: 0, lt: 2}}, {boughtBy: {eq: "x"}}], dealCount: {eq: 1, lt: %s}}',
    }
    for name, conditions in fields.items():
        assert data(f"{{{name}(filter: {conditions % 'null'}) {{totalCount}}}}") == {name: {"totalCount": 1}}
        problem = error(f"{{{name}(filter: {conditions % 2}) {{totalCount}}}}")
        assert problem["message"] == "The filter has more than 4 conditions."
        assert problem["extensions"] == {"code": "limit_exceeded"}
    having = (
        "dealStats(by: [GEM], having: {total: {gt: 0, lt: 9, lte: 8}, OR: [{quantity: {gt: 0}}%s]}) {nodes {total}}"
    )
    assert data(f"{{{having % ''}}}") == {"dealStats": {"nodes": [{"total": "1"}]}}
    assert error(f"{{{having % ', {quantity: {lt: 9}}'}}}")["extensions"] == {"code": "limit_exceeded"}


@pytest.mark.parametrize("nested", ["NOT", "AND", "OR"])
def test_nesting_of_filters_is_limited_in_documents_and_variables(nested: str, limits: Any) -> None:
    load(deal("ann", "ruby", "1"))
    limits(max_query_depth=5)

    def filter_of(levels: int) -> dict[str, Any]:
        value: dict[str, Any] = {"total": {"eq": "1"}}
        for _ in range(levels):
            value = {nested: value if nested == "NOT" else [value]}
        return value

    levels = 3 if nested == "NOT" else 1
    variable = "query ($f: DealFilter) {deals(filter: $f) {totalCount}}"
    for count, accepted in ((levels, True), (levels + 1, False)):
        literal = str(filter_of(count)).replace("'total'", "total").replace("'eq': '1'", "eq: 1")
        literal = literal.replace(f"'{nested}'", nested)
        for query, variables in (
            (variable, {"f": filter_of(count)}),
            (f"{{deals(filter: {literal}) {{totalCount}}}}", {}),
        ):
            if accepted:
                data(query, **variables)
            else:
                assert error(query, **variables)["message"] == "A value has more than 5 levels."


def test_filter_at_the_limits_is_executed_on_every_database(limits: Any) -> None:
    """SQLite limits the depth of expressions, and therefore the number of conditions."""
    load(deal("ann", "ruby", "1"))
    limits(max_filter_conditions=400, max_list_argument=400, max_nodes=10**6)
    conditions = {"total": {"gt": "0"}, "quantity": {"lt": 2}}
    variable = "query ($f: DealFilter) {deals(filter: $f) {totalCount}}"
    for name in ("AND", "OR"):
        assert data(variable, f={name: [conditions] * 200}) == {"deals": {"totalCount": 1}}


# Names


@pytest.mark.parametrize(
    ("prefix", "successor"),
    [
        ("a", "b"),
        ("az", "a{"),
        ("", None),
        ("\U0010ffff", None),
        ("a\U0010ffff\U0010ffff", "b"),
        ("\ud7ff", "\ue000"),
        ("\uffff", "\U00010000"),
        ("\ud7ff\U0010ffff", "\ue000"),
    ],
)
def test_prefix_successor_follows_every_text_with_the_prefix(prefix: str, successor: str | None) -> None:
    assert prefix_successor(prefix) == successor


def test_folded_names_fit_the_column_and_the_index_of_postgresql() -> None:
    """Even if nothing of a folded character were composed again, in any order of combining marks."""
    characters = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    folded = [
        unicodedata.normalize("NFD", character.casefold())
        for character in characters
        if compose(character) == character
    ]
    assert 255 * max(map(len, folded)) <= MAX_FOLDED_LENGTH
    assert 255 * max(len(text.encode()) for text in folded) + 32 <= 2704


@pytest.mark.parametrize("name", ["ann", "Ann", "ΐ", "ﬃ", "İ", "Σας", "é"])
def test_stored_folded_names_are_those_of_the_search(name: str) -> None:
    load(deal(name, name))
    assert list(Customer.objects.values_list("username_folded", flat=True)) == [ignore_case(name)] == [fold_name(name)]
    assert list(Gem.objects.values_list("name_folded", flat=True)) == [fold_name(name)]


def test_upload_counts_the_characters_of_the_longer_form() -> None:
    upload = load(deal("ﬃn", "ΐ"), deal("ann", "opal"))
    assert (upload.customer_characters, upload.gem_characters) == (4 + 3, 1 + 4)


def without_folded_names(upload: Upload) -> None:
    """Leave the rows of an upload as a process of the previous release stores them."""
    Customer.objects.filter(upload=upload).update(username_folded="")
    Gem.objects.filter(upload=upload).update(name_folded="")
    Upload.objects.filter(pk=upload.pk).update(names_folded=False, customer_characters=4, gem_characters=4)
    clear_caches()


CASE_INSENSITIVE: Final = {
    "customers": 'customers(filter: {username: {iEq: "ANN"}}) {totalCount}',
    "not customers": 'customers(filter: {NOT: {username: {iEq: "bob"}}}) {totalCount}',
    "gems": 'gems(filter: {name: {iContains: "UB"}}) {totalCount}',
    "bought gem": 'customers(filter: {boughtGem: {iStartsWith: "RU"}}) {totalCount}',
    "bought by": 'gems(filter: {boughtBy: {iEq: "ANN"}}) {totalCount}',
    "deals": 'deals(filter: {customer: {iEq: "ANN"}}) {totalCount}',
    "either": 'deals(filter: {OR: [{customer: {iEq: "ANN"}}, {gem: {iEq: "x"}}]}) {totalCount}',
    "nested deals": 'customers {nodes {deals(filter: {gem: {iEq: "RUBY"}}) {totalCount}}}',
    "nested gems": 'customers {nodes {gems(filter: {name: {iEq: "RUBY"}}) {totalCount}}}',
    "nested purchases": 'customers {nodes {purchases(filter: {gem: {iEq: "RUBY"}}) {totalCount}}}',
}


@pytest.mark.parametrize("field_", CASE_INSENSITIVE.values(), ids=CASE_INSENSITIVE)
def test_upload_of_the_previous_release_is_compared_without_case(field_: str) -> None:
    upload = load(deal("Ann", "Ruby"), deal("bob", "ﬃ"))
    expected_data = data(f"{{{field_}}}")
    without_folded_names(upload)
    assert data(f"{{{field_}}}") == expected_data
    assert sorted(Gem.objects.values_list("name_folded", flat=True)) == ["ffi", "ruby"]
    upload.refresh_from_db()
    assert (upload.names_folded, upload.customer_characters, upload.gem_characters) == (True, 6, 7)
    clear_caches()
    with CaptureQueriesContext(connection) as captured:
        assert data(f"{{{field_}}}") == expected_data
    assert not any("UPDATE" in statement["sql"] for statement in captured)


def test_interrupted_folding_is_continued() -> None:
    upload = load(deal("Ann", "Ruby"), deal("Bob", "Opal"))
    without_folded_names(upload)
    Customer.objects.filter(username="Ann").update(username_folded="ann")
    assert data("{" + CASE_INSENSITIVE["customers"] + "}") == {"customers": {"totalCount": 1}}
    assert sorted(Customer.objects.values_list("username_folded", flat=True)) == ["ann", "bob"]


# Indexes


def plans_of(query: str) -> list[str]:
    """Return the plan of each statement that reads customers."""
    with CaptureQueriesContext(connection) as captured:
        data(query)
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    plans = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # it may read all rows where earlier tests left gaps
            cursor.execute("SET LOCAL enable_seqscan = off")
        for statement in captured:
            if 'FROM "deals_api_customer"' in statement["sql"]:
                cursor.execute(f"{explain} {statement['sql'].split(';')[-1]}")
                plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
    return plans


@pytest.mark.parametrize(
    ("conditions", "column", "comparison"),
    [
        ('startsWith: "C19"', "username", ">="),
        ('iStartsWith: "c19"', "username_folded", ">="),
        ('iEq: "c19"', "username_folded", "="),
    ],
)
def test_names_are_found_by_an_index(conditions: str, column: str, comparison: str) -> None:
    load(*(deal(f"C{number}") for number in range(2_000)))
    (plan,) = plans_of(f"{{customers(filter: {{username: {{{conditions}}}}}) {{totalCount}}}}")
    if connection.vendor == "postgresql":
        assert re.search(rf"Index Cond: .*\b{column}\)?(::text)? {comparison} '", plan)
    else:
        assert f"(upload_id=? AND {column}{comparison[0]}?" in plan
