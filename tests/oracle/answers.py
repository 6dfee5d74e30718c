"""Predictions of responses, and their comparison with the actual ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from functools import partial
from operator import attrgetter
from typing import Any

from graphql import GraphQLNonNull

from tests.oracle.documents import KINDS, SCHEMA, Cursor, Document, Field, Known, effective_order, list_name, meaning
from tests.oracle.model import Change, Deal, File, Group, UploadComparison, matches, normalize, sort_key, statistics


class Rejected(Exception):
    """A root field is rejected with this error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class RowId:
    """The id of a row, which only the service can write: equal for equal rows and different for others."""

    upload: File
    type_name: str
    number: int


@dataclass(frozen=True)
class RowCursor:
    upload: Any
    list_name: str
    order: str
    row: Any


@dataclass
class Rows:
    """A whole list, before pagination."""

    type_name: str
    rows: Sequence[Any]
    #: The uploads that are compared.
    compared: tuple[File, File] | None = None


@dataclass
class Page:
    rows: Sequence[Any]
    total: int
    order: str
    type_name: str
    #: What its cursors have in common; the list of uploads belongs to no upload.
    upload: Any
    list_name: str
    has_next: bool
    has_previous: bool


@dataclass
class TopClient:
    customer: Group
    gems: list[str]


@dataclass
class StatsPage:
    groups: list[Group]
    limit: int
    offset: int
    whole: int


def money(hundredths: int) -> str:
    whole, cents = divmod(abs(hundredths), 100)
    text = f"{whole}.{cents:02}".rstrip("0").rstrip(".") if cents else str(whole)
    return f"-{text}" if hundredths < 0 else text


def time_text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


SIMPLE: dict[str, Callable[[Any], Any]] = {
    "Customer.username": lambda row: row.name,
    "Customer.spentMoney": lambda row: money(row.total),
    "Gem.name": lambda row: row.name,
    "Gem.total": lambda row: money(row.total),
    "Purchase.total": lambda row: money(row.total),
    "Purchase.quantity": lambda row: row.quantity,
    "Deal.total": lambda row: money(row.total),
    "Deal.quantity": lambda row: row.quantity,
    "Deal.date": lambda row: time_text(row.date),
    "Deal.rowNumber": lambda row: row.number,
    "TopClient.username": lambda row: row.customer.name,
    "TopClient.spentMoney": lambda row: money(row.customer.total),
    "TopClient.gems": lambda row: row.gems,
    "DealStats.quantity": lambda group: group.quantity,
    "DealStats.total": lambda group: money(group.total),
    "DealStats.minTotal": lambda group: money(group.min_total),
    "DealStats.maxTotal": lambda group: money(group.max_total),
    "DealStats.averageTotal": lambda group: money(group.average_total),
    "DealStatsPage.totalCount": lambda page: len(page.groups),
    "Upload.fileName": lambda upload: upload.name,
    "Upload.size": lambda upload: upload.size,
    "Upload.sha256": lambda upload: upload.sha256,
    "Upload.dealCount": lambda upload: len(upload.deals),
    "Upload.customerCount": lambda upload: len(upload.customers),
    "Upload.gemCount": lambda upload: len(upload.gems),
    "Upload.state": lambda upload: "LOADED",
    "Upload.error": lambda upload: "",
}
SIMPLE |= {
    "CustomerChange.change": lambda change: change.kind,
    "CustomerChange.username": lambda change: change.name,
    "CustomerChange.spentMoneyDifference": lambda change: money(change.difference("total")),
    "CustomerChange.dealCountDifference": lambda change: change.difference("deal_count"),
    "CustomerChange.gemCountDifference": lambda change: change.difference("gem_count"),
    "GemChange.change": lambda change: change.kind,
    "GemChange.name": lambda change: change.name,
    "GemChange.totalDifference": lambda change: money(change.difference("total")),
    "GemChange.dealCountDifference": lambda change: change.difference("deal_count"),
    "GemChange.buyerCountDifference": lambda change: change.difference("buyer_count"),
    "UploadComparison.dealCountDifference": lambda both: both.difference(lambda upload: len(upload.deals)),
    "UploadComparison.customerCountDifference": lambda both: both.difference(lambda upload: len(upload.customers)),
    "UploadComparison.gemCountDifference": lambda both: both.difference(lambda upload: len(upload.gems)),
    "UploadComparison.totalDifference": lambda both: money(
        both.difference(lambda upload: sum(deal.total for deal in upload.deals))
    ),
}
for type_ in ("Customer", "Gem", "Purchase", "DealStats"):
    SIMPLE[f"{type_}.dealCount"] = lambda row: row.deal_count
for type_ in ("Customer", "Gem"):
    SIMPLE[f"{type_}.firstDeal"] = lambda row: time_text(row.first_deal)
    SIMPLE[f"{type_}.lastDeal"] = lambda row: time_text(row.last_deal)
SIMPLE["Customer.gemCount"] = lambda row: row.gem_count
SIMPLE["Gem.buyerCount"] = lambda row: row.buyer_count


class Oracle:
    """Predicts the responses of a service with these uploads, the newest last."""

    def __init__(self) -> None:
        self.uploads: list[File] = []
        self.current: File | None = None
        self.known = Known()
        #: The root fields with an error, and its code.
        self.errors: set[tuple[str, str]] = set()
        self.comparisons: dict[tuple[File, File], UploadComparison] = {}

    def predict(self, document: Document) -> tuple[dict[str, Any], set[tuple[str, str]]]:
        """Return the data, with placeholders for ids and cursors, and the root fields with an error, and its code."""
        data, self.errors = {}, set()
        for self.root_field in document.roots:
            data[self.root_field.key] = self.or_null(lambda: self.root(self.root_field))
        return data, self.errors

    def or_null(self, compute: Callable[[], Any]) -> Any:
        """Return the value of a nullable field: null if something in it is rejected."""
        try:
            return compute()
        except Rejected as rejection:
            self.errors.add((self.root_field.key, rejection.code))
            return None

    # Root fields

    def root(self, root: Field) -> Any:
        arguments = {name: meaning(value) for name, value in root.arguments.items()}
        upload = arguments.get("upload") or self.current
        assert upload is not None
        if root.name == "uploads":
            return self.object(self.page(root, Rows("Upload", self.uploads[::-1]), upload), root, upload)
        if root.name == "currentUpload":
            return self.object(self.current, root, self.current)
        if root.name == "upload":
            return self.object(arguments["id"], root, arguments["id"])
        if root.name == "compare":
            pair: tuple[File, File] = arguments["base"], arguments.get("head") or upload
            comparison = self.comparisons.setdefault(pair, UploadComparison(*pair))
            return self.object(comparison, root, comparison.head)
        if root.name == "node":
            return self.node(arguments["id"], root)
        if root.name == "nodes":
            return [self.or_null(partial(self.node, item, root)) for item in arguments["ids"]]
        return self.snapshot_field(root, arguments, upload)

    def node(self, id_: Any, root: Field) -> Any:
        if isinstance(id_, File):
            return self.object(id_, root, id_)
        upload, type_name, number = self.known.ids[id_]
        return self.object(find(upload, type_name, number), root, upload)

    def snapshot_field(self, field: Field, arguments: dict[str, Any], upload: File) -> Any:
        """Return a field that a query and an upload have in common."""
        match field.name:
            case "topClients":
                clients = top_clients(upload, arguments.get("limit") or 5)
                return [self.object(client, field, upload) for client in clients]
            case "customer":
                customer = upload.customers.get(normalize(arguments["username"]))
                return None if customer is None else self.object(customer, field, upload)
            case "gem":
                gem = upload.gems.get(normalize(arguments["name"]))
                return None if gem is None else self.object(gem, field, upload)
            case "dealStats":
                return self.deal_stats(field, arguments, upload)
        type_name = {"deals": "Deal", "customers": "Customer", "gems": "Gem", "purchases": "Purchase"}[field.name]
        return self.object(self.page(field, Rows(type_name, upload.rows(type_name)), upload), field, upload)

    def deal_stats(self, field: Field, arguments: dict[str, Any], upload: File) -> Any:
        by, order = arguments.get("by") or [], arguments.get("orderBy") or "TOTAL_DESC"
        column = order.rpartition("_")[0]
        periods = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY"}
        if (column in ("CUSTOMER", "GEM") and column not in by) or (column == "DATE" and not periods & set(by)):
            raise Rejected("bad_input")
        deals = [deal for deal in upload.deals if matches(deal, arguments.get("filter"))]
        groups = statistics(upload, deals, by, arguments.get("having"), order)
        limit, offset = arguments.get("limit") or 20, arguments.get("offset") or 0
        whole = sum(deal.total for deal in deals)
        return self.object(StatsPage(groups, limit, offset, whole), field, upload)

    # Objects

    def object(self, value: Any, field: Field, upload: File | None) -> Any:
        """Return the selected fields of an object."""
        assert upload is not None
        type_name = type_name_of(value)
        result = {}
        for inner in field.selection:
            if inner.on in (None, type_name):
                compute = partial(self.value, type_name, value, inner, upload)
                result[inner.key] = self.or_null(compute) if is_nullable(type_name, inner) else compute()
        return result

    def value(self, type_name: str, value: Any, field: Field, upload: File) -> Any:
        name = f"{type_name}.{field.name}"
        if field.name == "__typename":
            return type_name
        if name in SIMPLE:
            return SIMPLE[name](value)
        if field.name == "id":
            return RowId(upload, type_name, 0 if type_name == "Upload" else value.number)
        match value:
            case Page():
                return self.page_field(value, field, upload)
            case StatsPage():
                assert field.name == "nodes", name
                page = value.groups[value.offset : value.offset + value.limit]
                return [self.group(group, field, upload, value.whole) for group in page]
            case File():
                return self.upload_field(value, field)
            case UploadComparison():
                return self.comparison_field(value, field)
            case Change():
                assert field.name in ("base", "head"), name
                row, owner = getattr(value, field.name), getattr(self.compared, field.name)
                return None if row is None else self.object(row, field, owner)
            case TopClient():
                return self.object(value.customer, field, upload)
            case Deal() | Group():
                return self.relation(type_name, value, field, upload)
        raise AssertionError(f"The oracle does not know {name}.")

    def upload_field(self, upload: File, field: Field) -> Any:
        if field.name == "isCurrent":
            return upload is self.current
        if field.name in ("rowsRead", "bytesRead"):  # of a load in progress
            return None
        arguments = {name: meaning(value) for name, value in field.arguments.items()}
        return self.snapshot_field(field, arguments, upload)

    def comparison_field(self, both: UploadComparison, field: Field) -> Any:
        if field.name in ("base", "head"):
            return self.object(getattr(both, field.name), field, getattr(both, field.name))
        if field.name in ("customerCounts", "gemCounts"):
            changes = both.customers if field.name == "customerCounts" else both.gems
            kinds = [change.kind for change in changes]
            return {
                inner.key: "ChangeCounts" if inner.name == "__typename" else kinds.count(inner.name.upper())
                for inner in field.selection
            }
        assert field.name in ("customers", "gems"), field.name
        requested = meaning(field.arguments.get("change"))
        accepted = KINDS if requested is None else requested
        changes = [change for change in getattr(both, field.name) if change.kind in accepted]
        type_name = "CustomerChange" if field.name == "customers" else "GemChange"
        self.compared = both
        return self.object(
            self.page(field, Rows(type_name, changes, (both.base, both.head)), both.head), field, both.head
        )

    def relation(self, type_name: str, row: Any, field: Field, upload: File) -> Any:
        name = f"{type_name}.{field.name}"
        if field.name == "customer":
            return self.object(upload.customers[row.customer], field, upload)
        if field.name == "gem":
            return self.object(upload.gems[row.gem], field, upload)
        purchases = [each for each in upload.rows("Purchase") if getattr(each, type_name.lower(), None) == row.name]
        related = {
            "Customer.deals": lambda: Rows("Deal", row.deals),
            "Gem.deals": lambda: Rows("Deal", row.deals),
            "Customer.purchases": lambda: Rows("Purchase", purchases),
            "Gem.purchases": lambda: Rows("Purchase", purchases),
            "Customer.gems": lambda: Rows("Gem", [upload.gems[each.gem] for each in purchases]),
            "Gem.buyers": lambda: Rows("Customer", [upload.customers[each.customer] for each in purchases]),
        }
        return self.object(self.page(field, related[name](), upload), field, upload)

    def group(self, group: Group, field: Field, upload: File, whole: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for inner in field.selection:
            key = group.keys.get(inner.name.upper())
            if inner.name == "share":
                share = Fraction(group.total, whole) if whole else Fraction(0)
                result[inner.key] = int(share * 10**6 + Fraction(1, 2)) / 10**6
            elif inner.name == "__typename":
                result[inner.key] = "DealStats"
            elif f"DealStats.{inner.name}" in SIMPLE:
                result[inner.key] = SIMPLE[f"DealStats.{inner.name}"](group)
            elif key is None:
                result[inner.key] = None
            elif inner.name in ("customer", "gem"):
                name = getattr(group, inner.name)
                rows = upload.customers if inner.name == "customer" else upload.gems
                result[inner.key] = self.or_null(partial(self.object, rows[name], inner, upload))
            else:
                result[inner.key] = key.isoformat() if isinstance(key, date) else key
        return result

    # Pages

    def page(self, field: Field, rows: Rows, upload: File) -> Page:
        arguments = {name: meaning(value) for name, value in field.arguments.items()}
        parent: Any = SCHEMA.type_map[field.on or field.type_name]
        order = effective_order(parent.fields[field.name], field.arguments)
        key = sort_key(rows.type_name, order)
        if rows.type_name == "Upload":
            key = Newest(self.uploads)
        elif rows.compared:
            key = attrgetter("name")
        whole = sorted((row for row in rows.rows if matches(row, arguments.get("filter"))), key=key)
        after, before = arguments.get("after"), arguments.get("before")
        owner = None if rows.type_name == "Upload" else rows.compared or upload
        name = list_name(field.on or field.type_name, field.name)
        for cursor in (after, before):
            if cursor is not None and (cursor.upload, cursor.list_name, cursor.order) != (owner, name, order):
                raise Rejected("cursor_outdated")
        window = [
            row
            for row in whole
            if (after is None or key(after.row) < key(row)) and (before is None or key(row) < key(before.row))
        ]
        last = arguments.get("last")
        size = last if last is not None else 20 if arguments.get("first") is None else arguments["first"]
        page = window[max(0, len(window) - size) :] if last is not None else window[:size]
        more = len(window) > size
        return Page(
            page,
            len(whole),
            order,
            rows.type_name,
            owner,
            name,
            has_next=(last is None and more)
            or (before is not None and any(not key(row) < key(before.row) for row in whole)),
            has_previous=(last is not None and more)
            or (after is not None and any(not key(after.row) < key(row) for row in whole)),
        )

    def page_field(self, page: Page, field: Field, upload: File) -> Any:
        def cursor(row: Any) -> RowCursor:
            return RowCursor(page.upload, page.list_name, page.order, row)

        def row_object(row: Any, selected: Field) -> Any:
            return self.object(row, selected, row if page.type_name == "Upload" else upload)

        match field.name:
            case "totalCount":
                return page.total
            case "nodes":
                return [row_object(row, field) for row in page.rows]
            case "edges":
                return [
                    {
                        inner.key: cursor(row) if inner.name == "cursor" else row_object(row, inner)
                        if inner.name == "node" else f"{page.type_name}Edge"
                        for inner in field.selection
                    }
                    for row in page.rows
                ]  # fmt: skip
            case "pageInfo":
                info = {
                    "__typename": "PageInfo",
                    "hasNextPage": page.has_next,
                    "hasPreviousPage": page.has_previous,
                    "startCursor": cursor(page.rows[0]) if page.rows else None,
                    "endCursor": cursor(page.rows[-1]) if page.rows else None,
                }
                return {inner.key: info[inner.name] for inner in field.selection}
        raise AssertionError(f"The oracle does not know {field.name} of a connection.")

    # Comparison

    def differences(self, expected: Any, actual: Any, path: str = "data") -> list[str]:
        """Return the differences; ids and cursors are compared with those of earlier responses, and remembered."""
        if isinstance(expected, RowId):
            return self.compare_id(expected, actual, path)
        if isinstance(expected, RowCursor):
            return self.compare_cursor(expected, actual, path)
        if isinstance(expected, dict) and isinstance(actual, dict):
            if list(expected) != list(actual):
                return [f"{path}: expected the fields {list(expected)}, not {list(actual)}"]
            return [
                found for key in expected for found in self.differences(expected[key], actual[key], f"{path}.{key}")
            ]
        if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
            pairs = enumerate(zip(expected, actual, strict=True))
            return [found for number, pair in pairs for found in self.differences(*pair, f"{path}[{number}]")]
        if expected != actual or type(expected) is not type(actual):
            return [f"{path}: expected {expected!r}, not {actual!r}"]
        return []

    def compare_id(self, expected: RowId, actual: Any, path: str) -> list[str]:
        if expected.type_name == "Upload":
            found: Any = self.known.upload_ids.setdefault(actual, expected.upload)
            return [] if found is expected.upload else [f"{path}: {actual} is the id of another upload"]
        row = expected.upload, expected.type_name, expected.number
        return [] if self.known.remember_id(actual, row) == row else [f"{path}: {actual} is the id of another row"]

    def compare_cursor(self, expected: RowCursor, actual: Any, path: str) -> list[str]:
        cursor = Cursor(actual, expected.upload, expected.list_name, expected.order, expected.row)
        known = self.known.remember_cursor(cursor)
        same = (known.list_name, known.order) == (cursor.list_name, cursor.order) and known.row is cursor.row
        return [] if same else [f"{path}: {actual} is the cursor of another row"]


def is_nullable(type_name: str, field: Field) -> bool:
    parent: Any = SCHEMA.type_map[type_name]
    return field.name != "__typename" and not isinstance(parent.fields[field.name].type, GraphQLNonNull)


class Newest:
    """The order of uploads."""

    def __init__(self, uploads: list[File]) -> None:
        self.uploads = uploads

    def __call__(self, upload: File) -> int:
        return -self.uploads.index(upload)


def type_name_of(value: Any) -> str:
    if isinstance(value, Page):
        return f"{value.type_name}Connection"
    if isinstance(value, StatsPage):
        return "DealStatsPage"
    return "Upload" if isinstance(value, File) else type(value).__name__


def find(upload: File, type_name: str, number: int) -> Any:
    return next(row for row in upload.rows(type_name) if row.number == number)


def top_clients(upload: File, limit: int) -> list[TopClient]:
    ranking = sorted(upload.customers.values(), key=sort_key("Customer", "SPENT_MONEY_DESC"))[:limit]
    bought = [{deal.gem for deal in customer.deals} for customer in ranking]
    return [
        TopClient(customer, sorted(gem for gem in own if sum(gem in gems for gems in bought) > 1))
        for customer, own in zip(ranking, bought, strict=True)
    ]
