"""Handwritten queries that are expensive, or were before a limit or an index was added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from graphql import get_introspection_query

from tests.bench.documents import Query, SampleValues

_ALL_FIELDS: Final = "{customer {username} gem {name} dealCount quantity total share minTotal maxTotal averageTotal}"
#: Conditions that every generated deal meets, so that all of them are evaluated.
_RANGES: Final = 'total: {gte: 1, lte: 9000}, quantity: {gte: 1, lte: 60}, date: {gte: "2017-01-01T00:00:00Z"}'
_NAMES: Final = 'customer: {contains: "e"}, gem: {contains: "а"}'
_HAVING: Final = "having: {averageTotal: {gte: 1}, minTotal: {gte: 0}}"


def expensive_queries(values: SampleValues) -> Iterator[Query]:
    for text in (
        *_stats(),
        *_lists(),
        *_combinations(),
        *_relations(),
        *_rows(),
        *_large_documents(),
        *_introspection(),
    ):
        yield Query(f"query ($n: Int! = 20) {text}" if "$n" in text else text)
    yield from _filters(values)
    yield from _searches(values)
    yield from _versions(values)


def _versions(values: SampleValues) -> Iterator[Query]:
    """Yield comparisons of each retained upload with the current one, and lists of several uploads."""
    page = "{totalCount pageInfo {hasNextPage} nodes {change base {id} head {id} dealCountDifference}}"
    lists = [
        f"{name}({size}, change: [{kinds}]) {page}"
        for name in ("customers", "gems")
        for size in ("first: 1", "last: $n")
        for kinds in ("ADDED", "CHANGED", "REMOVED", "ADDED, CHANGED, REMOVED")
    ]
    summary = "totalDifference customerCounts {added unchanged} gemCounts {changed}"
    for base in values.uploads:
        for fields in (summary, *lists, *(times(count, lists[3]) for count in (5, 20))):
            yield Query(f"query ($n: Int! = 20, $base: ID!) {{compare(base: $base) {{{fields}}}}}", {"base": base})
        yield Query(f"query ($base: ID!) {{{times(20, f'compare(base: $base) {{{summary}}}')}}}", {"base": base})
    for fields in (
        "topClients(limit: 100) {gems}",
        "dealStats(by: [DAY]) {nodes {share}}",
        times(20, 'customer(username: "") {id}'),
    ):
        yield Query(f"query ($n: Int! = 20) {{uploads(first: $n) {{nodes {{id {fields}}}}}}}")


def _searches(values: SampleValues) -> Iterator[Query]:
    """Yield searches for short and long substrings, once and several times per operation."""
    condition = "filter: {%s: {contains: $text}}"
    customers = f"customers(first: 1, {condition % 'username'}) {{totalCount nodes {{username}}}}"
    deals = f"deals(first: 1, {condition % 'customer'}) {{totalCount nodes {{id}}}}"
    for text in values.substrings:
        for field in (customers, deals, f"dealStats(by: [GEM], {condition % 'customer'}) {{nodes {{total}}}}"):
            for count in (1, 3, 20):
                yield Query(f"query ($text: String!) {{{times(count, field)}}}", {"text": text})


def times(count: int, field: str) -> str:
    """Repeat the field under different aliases."""
    return " ".join(f"a{number}: {field}" for number in range(count))


def _stats() -> Iterator[str]:
    for by, order in (
        ("CUSTOMER", "CUSTOMER_ASC"), ("GEM", "GEM_DESC"), ("CUSTOMER, GEM", "GEM_ASC"),
        ("CUSTOMER, MONTH", "DATE_ASC"), ("GEM, MONTH", "MIN_TOTAL_ASC"), ("DAY", "AVERAGE_TOTAL_DESC"),
        ("CUSTOMER, GEM, YEAR", "TOTAL_DESC"), ("WEEK", "DATE_DESC"), ("QUARTER, WEEK", "TOTAL_ASC"), ("", "TOTAL_ASC"),
    ):  # fmt: skip
        for conditions in ("", _RANGES, _NAMES, f"{_NAMES}, {_RANGES}", 'customer: {contains: "1"}'):
            arguments = f"by: [{by}], orderBy: {order}, {_HAVING}, filter: {{{conditions}}}, limit: $n"
            yield f"{{dealStats({arguments}) {{nodes {_ALL_FIELDS}}}}}"
            yield f"{{dealStats({arguments}, offset: 500) {{totalCount nodes {{customer {{username}} gem {{name}}}}}}}}"
    for by in ("MONTH", "DAY", "GEM"):
        yield "{%s}" % times(2, f"dealStats(by: [{by}]) {{nodes {_ALL_FIELDS}}}")
    yield "{%s}" % times(20, "dealStats(by: [CUSTOMER, GEM]) {nodes {total}}")


def _lists() -> Iterator[str]:
    rare = "quantity: {eq: 50}"
    for order in ("FILE_DESC", "DATE_ASC", "TOTAL_DESC", "QUANTITY_ASC"):
        for conditions in (_RANGES, _NAMES, f"{_NAMES}, {rare}", rare, 'customer: {contains: "1"}'):
            arguments = f"orderBy: {order}, first: 1, filter: {{{conditions}}}"
            page = f"deals({arguments}) {{totalCount pageInfo {{hasNextPage}}}}"
            yield "{%s}" % page
            yield "{%s}" % times(2, page)
    for field in (
        'customers(first: 1, orderBy: LAST_DEAL_ASC, filter: {username: {contains: "e"}}) {totalCount nodes {id}}',
        'gems(first: 1, orderBy: BUYER_COUNT_ASC, filter: {name: {contains: "а"}}) {totalCount nodes {id}}',
    ):
        yield "{%s}" % times(20, field)


#: Alternatives that no generated deal meets, so that all of them are evaluated.
_UNMET: Final = ("total: {gt: 90000}", "quantity: {lt: 1}", 'date: {lt: "2001-01-01T00:00:00Z"}', "total: {in: [0]}")


def _combinations() -> Iterator[str]:
    """Yield filters with many comparisons for each row, deep ones, and those that look for purchases."""
    comparisons = [f"{{{_UNMET[number % len(_UNMET)]}}}" for number in range(64)]
    either = f'{_NAMES}, OR: [{{customer: {{iContains: "E"}}, total: {{gt: 1}}}}, {{gem: {{startsWith: "Р"}}}}]'
    for count in (2, 8, 24, 64):
        some = ", ".join(comparisons[:count])
        for conditions in (
            f"OR: [{some}]",
            f"NOT: {{AND: [{{NOT: {{OR: [{some}]}}}}]}}",
            f"{either}, NOT: {{OR: [{some}]}}",
        ):
            yield "{deals(first: 1, orderBy: TOTAL_ASC, filter: {%s}) {totalCount nodes {id}}}" % conditions
            yield "{dealStats(by: [MONTH], limit: $n, filter: {%s}) {nodes %s}}" % (conditions, _ALL_FIELDS)
    deep = '{total: {gt: 90000}, gem: {contains: "а"}}'
    for name in ("OR", "AND", "OR", "AND"):
        deep = '{%s: [%s, {customer: {contains: "1"}}, {NOT: {gem: {iEq: "x"}}}]}' % (name, deep)
    yield "{deals(first: 1, orderBy: DATE_ASC, filter: %s) {totalCount nodes {id}}}" % deep
    searches = ", ".join('{username: {iContains: "%s"}}' % (str(number) * 4) for number in range(20))
    yield "{customers(first: 1, filter: {OR: [%s]}) {totalCount nodes {id}}}" % searches
    for bought in ('{contains: "а"}', '{contains: "1"}', '{iStartsWith: "р"}', '{eq: "Рубин"}', '{contains: "-2"}'):
        for condition in ("%s", "NOT: {%s}", "OR: [{%s}, {dealCount: {lt: 1}}]"):
            customers = condition % ("boughtGem: %s" % bought)
            gems = condition % 'boughtBy: {contains: "1"}'
            yield "{customers(first: 1, orderBy: GEM_COUNT_ASC, filter: {%s}) {totalCount nodes {id}}}" % customers
            yield "{gems(first: 1, orderBy: FIRST_DEAL_ASC, filter: {%s}) {totalCount nodes {id}}}" % gems
            yield "{gems(first: $n) {nodes {buyers(first: 1, filter: {%s}) {totalCount nodes {id}}}}}" % customers
    for order in ("CUSTOMER_ASC", "CUSTOMER_DESC", "GEM_ASC", "GEM_DESC"):
        for conditions in ("", "total: {gt: 1}", 'customer: {contains: "1"}'):
            page = "deals(first: $n, orderBy: %s, filter: {%s}) {edges {cursor node {id}}}" % (order, conditions)
            yield "{%s}" % page
        yield "{customers(first: $n) {nodes {deals(first: 1, orderBy: %s) {nodes {id}}}}}" % order
        yield "{gems(first: $n) {nodes {purchases(first: 1, orderBy: %s) {nodes {id}}}}}" % order
    purchases = 'filter: {OR: [{customer: {contains: "1"}}, {gem: {iContains: "Р"}, total: {lt: 1}}]}'
    yield "{customers(first: $n) {nodes {purchases(first: 1, %s) {totalCount nodes {id}}}}}" % purchases
    yield "{gems(first: $n) {nodes {purchases(first: 1, %s) {totalCount nodes {id}}}}}" % purchases


def _relations() -> Iterator[str]:
    of_customers = "{customers(first: $n) {nodes {%s}}}"
    yield of_customers % "deals(first: 1, orderBy: TOTAL_DESC) {nodes {id}}"
    yield of_customers % "deals(first: 1, orderBy: TOTAL_DESC, filter: {%s}) {totalCount nodes {id}}" % _NAMES
    yield of_customers % times(10, "deals(first: 1) {nodes {id}}")
    yield of_customers % times(10, 'deals(first: 1, filter: {gem: {contains: "none"}}) {nodes {id}}')
    yield of_customers % times(20, "gems(first: 1) {nodes {id}}")
    yield of_customers % times(20, "purchases(first: 1, orderBy: GEM_ASC) {nodes {id}}")
    yield of_customers % times(20, "purchases(first: 1) {totalCount pageInfo {hasNextPage}}")
    yield of_customers % "gems(first: $n) {nodes {buyers(first: 2) {nodes {username}}}}"
    of_gems = "{gems(first: $n) {nodes {%s}}}"
    for order in ("FILE_ASC", "DATE_DESC", "QUANTITY_ASC"):
        yield of_gems % f"deals(first: 1, orderBy: {order}) {{nodes {{id}}}}"
        yield (
            of_gems % f"deals(first: 1, orderBy: {order}, filter: {{{_NAMES}, {_RANGES}}}) {{totalCount nodes {{id}}}}"
        )
    yield of_gems % times(20, "deals(first: 1) {pageInfo {hasNextPage}}")
    yield of_gems % "buyers(first: 2) {nodes {username}} purchases(first: 2) {nodes {id}}"
    yield of_gems % "buyers(first: $n) {nodes {gems(first: $n) {nodes {name}}}}"
    yield "{topClients(limit: $n) {gems customer {deals(first: 1) {nodes {id}}}}}"
    yield "{topClients(limit: 100) {%s}}" % times(20, "gems")
    # Each nullable row reports its own error.
    for rejected in ("deals(first: 100) {nodes {gem {name}}}", 'deals(after: "x") {totalCount}'):
        yield "{dealStats(by: [CUSTOMER], limit: $n) {nodes {%s}}}" % times(10, "customer {%s}" % rejected)


def _rows() -> Iterator[str]:
    yield "{deals(first: $n) {edges {cursor node {id date total quantity customer {id} gem {id}}}}}"
    for leaf in ("id", "username", "lastDeal", "spentMoney"):
        yield "{customers(first: $n) {nodes {gems(first: $n) {nodes {id name}} %s}}}" % times(28, leaf)
    purchase = "{cursor node {id customer {id username} gem {id name}}}"
    yield "{customers(first: 100) {nodes {purchases(first: $n) {edges %s}}}}" % purchase
    counts = times(28, "deals(first: 0) {totalCount}")
    yield "{customers(first: $n) {nodes {gems(first: 4) {nodes {name}} %s}}}" % counts


def _large_documents() -> Iterator[str]:
    """Yield documents whose parsing and validation would take long without limits."""
    deal = "{deals(first: 0) {nodes {%s}}}"
    yield deal % ("customer {id} " * 240)
    yield deal % ("customer {} " * 320)
    yield deal % "...F0 ...F0" + _fragments(90, lambda number: f"...F{number + 1} ...F{number + 1}")
    yield deal % "...F0" + _fragments(26, lambda number: " ".join(f"...F{other}" for other in range(number + 1, 27)))
    yield deal % " ".join(f"...F{number}" for number in range(80)) + _fragments(80, lambda _: "customer {id}")
    yield "{%s}" % ("deals(first: 0) {nodes {id}} " * 20)
    yield "{customers {nodes {deals {nodes {customer {deals {nodes {customer {deals {nodes {id" + "}" * 11
    yield deal % " ".join(f"customer {{gems(first: {number}) {{id}}}}" for number in range(80))
    yield deal % " ".join(f"x{number} @include(if: true)" for number in range(150))
    yield "{deals(filter: %s1%s) {totalCount}}" % ("{a: " * 190, "}" * 190)


def _fragments(count: int, body: Callable[[int], str]) -> str:
    """Return ``count`` fragments, and an empty one at the end."""
    fragments = (f" fragment F{number} on Deal {{{body(number)}}}" for number in range(count))
    return "".join(fragments) + f" fragment F{count} on Deal {{}}"


def _introspection() -> Iterator[str]:
    yield get_introspection_query()
    fields = "fields {name description args {name description type {name kind ofType {name}}} type {name kind}}"
    yield "{%s}" % times(20, "__schema {types {name description %s}}" % fields)
    yield "{__schema {types {%s}}}" % times(29, fields)


def _filters(values: SampleValues) -> Iterator[Query]:
    """Yield filters with long lists, as literals and as variables, that apply to the deals of each customer."""
    query = "query ($n: Int! = 20, $f: DealFilter) {customers(first: $n) {nodes {%s}}}"
    fields = times(15, "deals(first: 0, filter: $f) {totalCount}")
    numbers = list(range(100))
    lists = {
        "total": {"in": [str(amount) for amount in numbers]},
        "quantity": {"in": numbers},
        "date": {"in": list(values.dates) * 30},
        "customer": {"in": [name[:50] for name in values.names["username"]] * 5},
        "gem": {"in": [name[:50] for name in values.names["gem"]] * 9},
    }
    yield Query(query % fields, {"f": lists})
    yield Query(query % fields, {"f": {"customer": {"in": ["é" * 1000] * 50}}})
    literals = times(3, f"deals(first: 1, filter: {{quantity: {{in: {numbers}}}}}) {{totalCount}}")
    yield Query(f"query ($n: Int! = 20) {{customers(first: $n) {{nodes {{{literals}}}}}}}")
