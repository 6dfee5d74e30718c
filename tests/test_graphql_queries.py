"""Root fields, scalars and filters of GraphQL, compared with the uploaded file."""

from __future__ import annotations

import base64
import json
import operator
import unicodedata
import uuid
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.conf import settings

from deals_api.errors import UnreadableUpload
from deals_api.global_ids import write_row_id, write_upload_id
from deals_api.ingest.rejections import Rejection, record_rejection
from deals_api.models import Customer, Deal, Gem, Purchase, Upload
from deals_api.snapshots.retention import apply_retention
from tests import reference_parser
from tests.builders import csv_of, deal, load
from tests.graphql import code, data, error, execute_query, id_of, row_global_id

pytestmark = pytest.mark.django_db

ROWS = [
    deal("ann", "ruby", "10.50", "2", "2020-01-02 03:04:05.5"),
    deal("bob", "opal", "7", "1", "2020-01-01 00:00:00"),
    deal("ann", "ruby", "0.25", "3", "2020-01-03 00:00:00+03:00"),
    deal("bob", "ruby", "1", "1", "2020-01-04 00:00:00"),
]


# Root fields


def test_top_clients_return_the_ranking_and_its_customers() -> None:
    load(*ROWS)
    assert data("{topClients(limit: 2) {username spentMoney gems customer {username dealCount}}}")["topClients"] == [
        {"username": "ann", "spentMoney": "10.75", "gems": ["ruby"], "customer": {"username": "ann", "dealCount": 2}},
        {"username": "bob", "spentMoney": "8", "gems": ["ruby"], "customer": {"username": "bob", "dealCount": 2}},
    ]


def test_top_clients_accept_limits_from_1_to_100() -> None:
    load(*ROWS)
    query = "query ($n: Int!) {topClients(limit: $n) {spentMoney}}"
    assert [len(data(query, n=limit)["topClients"]) for limit in (1, 2, 100)] == [1, 2, 2]
    for limit in (0, -1, 101):
        problem = error(query, n=limit)
        assert problem["message"] == f"limit may be 1 to 100, not {limit}."
        assert problem["extensions"]["code"] == "limit_exceeded"


def test_customers_and_customer_by_username() -> None:
    load(*ROWS)
    fields = "{username spentMoney dealCount gemCount firstDeal lastDeal}"
    ann = {
        "username": "ann",
        "spentMoney": "10.75",
        "dealCount": 2,
        "gemCount": 1,
        "firstDeal": "2020-01-02T03:04:05.500000Z",
        "lastDeal": "2020-01-02T21:00:00Z",
    }
    bob = {
        "username": "bob",
        "spentMoney": "8",
        "dealCount": 2,
        "gemCount": 2,
        "firstDeal": "2020-01-01T00:00:00Z",
        "lastDeal": "2020-01-04T00:00:00Z",
    }
    assert data(f"{{customers {{totalCount nodes {fields}}}}}")["customers"] == {"totalCount": 2, "nodes": [ann, bob]}
    query = f"query ($name: String!) {{customer(username: $name) {fields}}}"
    assert data(query, name="ann") == {"customer": ann}
    for unknown_name in ("Ann", "an", "", "an\0", " ann"):
        assert data(query, name=unknown_name) == {"customer": None}


def test_gems_and_gem_by_name() -> None:
    load(*ROWS)
    fields = "{name total dealCount buyerCount firstDeal lastDeal}"
    ruby = {
        "name": "ruby",
        "total": "11.75",
        "dealCount": 3,
        "buyerCount": 2,
        "firstDeal": "2020-01-02T03:04:05.500000Z",
        "lastDeal": "2020-01-04T00:00:00Z",
    }
    names = data("{gems {totalCount nodes {name}}}")["gems"]
    assert names == {"totalCount": 2, "nodes": [{"name": "ruby"}, {"name": "opal"}]}
    assert data(f'{{gem(name: "ruby") {fields}}}') == {"gem": ruby}
    assert data('{gem(name: "Ruby") {name}}') == {"gem": None}


def test_name_is_found_in_any_unicode_normal_form() -> None:
    load(deal("\N{LATIN SMALL LETTER E WITH ACUTE}va"))
    assert data("query ($name: String!) {customer(username: $name) {dealCount}}", name="e\N{COMBINING ACUTE ACCENT}va")[
        "customer"
    ] == {"dealCount": 1}


def test_deals_return_the_lines_of_the_file() -> None:
    load(*ROWS)
    page = data("{deals {totalCount nodes {rowNumber customer {username} gem {name} total quantity date}}}")["deals"]
    assert page["totalCount"] == 4
    assert [node["rowNumber"] for node in page["nodes"]] == [1, 2, 3, 4]
    assert [deal_values(node) for node in page["nodes"]] == [
        ("ann", "ruby", "10.5", 2, "2020-01-02T03:04:05.500000Z"),
        ("bob", "opal", "7", 1, "2020-01-01T00:00:00Z"),
        ("ann", "ruby", "0.25", 3, "2020-01-02T21:00:00Z"),
        ("bob", "ruby", "1", 1, "2020-01-04T00:00:00Z"),
    ]


def deal_values(node: dict[str, Any]) -> tuple[Any, ...]:
    return node["customer"]["username"], node["gem"]["name"], node["total"], node["quantity"], node["date"]


def test_deal_stats_return_totals_of_all_deals_and_groups() -> None:
    load(*ROWS)
    fields = """year quarter month week day dealCount quantity total share minTotal maxTotal averageTotal
        customer {username} gem {name}"""
    (overall,) = data(f"{{dealStats {{nodes {{{fields}}}}}}}")["dealStats"]["nodes"]
    assert overall == {
        "year": None,
        "quarter": None,
        "month": None,
        "week": None,
        "day": None,
        "dealCount": 4,
        "quantity": 7,
        "total": "18.75",
        "share": 1.0,
        "minTotal": "0.25",
        "maxTotal": "10.5",
        "averageTotal": "4.69",
        "customer": None,
        "gem": None,
    }
    by_month = data(f"{{dealStats(by: [MONTH, GEM], limit: 1) {{nodes {{{fields}}}}}}}")["dealStats"]["nodes"]
    assert [(group["month"], group["gem"], group["customer"]) for group in by_month] == [
        ("2020-01-01", {"name": "ruby"}, None)
    ]


def test_uploads_include_rejected_files_newest_first() -> None:
    first = load(*ROWS, name="a.csv")
    second = load(deal("bob"), name="b.csv")
    rejected = Upload.objects.create(file_name="bad.csv", sha256="0" * 64, size=2**53 + 1)
    record_rejection(rejected, Rejection.of(UnreadableUpload("It is bad.")))
    fields = "{id fileName sha256 size dealCount customerCount gemCount state error isCurrent finishedAt arrivedAt}"
    result = data(f"{{uploads {{totalCount nodes {fields}}} currentUpload {fields}}}")
    newest, current, old = result["uploads"]["nodes"]
    assert result["uploads"]["totalCount"] == 3
    assert result["currentUpload"] == current
    assert (newest["fileName"], newest["state"], newest["error"]) == ("bad.csv", "REFUSED", "It is bad.")
    assert (newest["size"], newest["dealCount"], newest["isCurrent"]) == (2**53 + 1, 0, False)
    assert (current["id"], current["isCurrent"], current["state"]) == (id_of(second), True, "LOADED")
    assert (old["id"], old["isCurrent"], old["sha256"]) == (id_of(first), False, first.sha256)
    assert (old["dealCount"], old["customerCount"], old["gemCount"]) == (4, 2, 2)
    assert old["arrivedAt"] <= old["finishedAt"]
    for upload in (newest, current, old):
        assert data(f"query ($id: ID!) {{upload(id: $id) {fields}}}", id=upload["id"]) == {"upload": upload}


def test_loading_upload_can_be_queried() -> None:
    upload = Upload.objects.create(file_name="f", sha256="0" * 64, size=1)
    result = data("query ($id: ID!) {upload(id: $id) {state finishedAt isCurrent}}", id=id_of(upload))
    assert result == {"upload": {"state": "LOADING", "finishedAt": None, "isCurrent": False}}


NODE = """
    query ($id: ID!) {
        node(id: $id) {
            __typename
            id
            ... on Customer {username deals {totalCount nodes {total}}}
            ... on Gem {name buyers {nodes {username}}}
            ... on Purchase {quantity customer {username}}
            ... on Deal {total gem {name}}
            ... on Upload {fileName}
        }
    }
"""


def test_node_finds_objects_of_current_and_retained_uploads() -> None:
    first = load(*ROWS, name="a.csv")
    for _ in range(2):
        nodes: dict[str, tuple[Any, dict[str, Any]]] = {
            "Customer": (Customer, {"username": "ann", "deals": {"totalCount": 2, "nodes": DEALS_OF_ANN}}),
            "Gem": (Gem, {"name": "ruby", "buyers": {"nodes": [{"username": "ann"}, {"username": "bob"}]}}),
            "Purchase": (Purchase, {"quantity": 5, "customer": {"username": "ann"}}),
            "Deal": (Deal, {"total": "10.5", "gem": {"name": "ruby"}}),
        }
        for name, (model, fields) in nodes.items():
            global_id = row_global_id(model.objects.for_upload(first).order_by("pk")[0])
            assert data(NODE, id=global_id) == {"node": {"__typename": name, "id": global_id, **fields}}
        assert data(NODE, id=id_of(first))["node"]["fileName"] == "a.csv"
        load(deal("bob"))


DEALS_OF_ANN = [{"total": "0.25"}, {"total": "10.5"}]


def test_node_finds_every_row_by_its_id() -> None:
    load(*ROWS)
    lists = "customers {nodes {id}} gems {nodes {id}} deals {nodes {id}} uploads {nodes {id}}"
    result = data(f'{{{lists} customer(username: "ann") {{purchases {{nodes {{id}}}}}}}}')
    result |= result.pop("customer")
    ids = [row["id"] for rows in result.values() for row in rows["nodes"]]
    assert len(ids) == len(set(ids)) == 2 + 2 + 4 + 1 + 1
    assert [data(NODE, id=global_id)["node"]["id"] for global_id in ids] == ids


def test_id_without_an_object_returns_null() -> None:
    upload = load(*ROWS)
    base_pk = upload.pk << 32
    for name, pk in (("Deal", base_pk + 5), ("Customer", base_pk + 2**31), ("Gem", 1), ("Gem", 0)):
        assert data(NODE, id=write_row_id(name, pk, upload.snapshot)) == {"node": None}
    unknown_id = write_upload_id(uuid.uuid4())
    assert data(NODE, id=unknown_id) == {"node": None}
    assert data("query ($id: ID!) {upload(id: $id) {dealCount}}", id=unknown_id) == {"upload": None}


INVALID_IDS = [
    "", "x", "Upload:1", "ё", "\0", "=" * 9, "VXBsb2Fk", "RGVhbDrZow==", "RGVhbDoxXzA=", "RGVhbDogMQ==", "RGVhbDp7MX0=",
    "RGVhbDox" * 100, write_row_id("Deal", 2**63, uuid.UUID(int=0)), write_row_id("Deal", -1, uuid.UUID(int=0)),
    write_row_id("Nothing", 1, uuid.UUID(int=0)), write_row_id("Upload", 1, uuid.UUID(int=0)),
    *(base64.b64encode(text).decode() for text in (
        b"Deal:1", b"Deal:1:", b"Deal:1:0123456789a", b"Deal:1:0123456789abc", b"Deal:1:0123456789AB",
        b"Deal:1:0123456789ab:", b"Deal:01:0123456789ab", b"Deal::0123456789ab", b"Upload:5",
        b"Upload:%032X" % (2**127 - 1), b"Upload:{%032x}" % 1, b"Upload:%032x:" % 1,
    )),
]  # fmt: skip


def test_malformed_ids_are_rejected() -> None:
    load(*ROWS)
    for invalid_id in INVALID_IDS:
        for query in (NODE, "query ($id: ID!) {upload(id: $id) {dealCount}}", UPLOAD_QUERIES[0]):
            assert code(query, id=invalid_id) == "bad_input", invalid_id


# Before the first upload


def test_lists_are_empty_and_objects_null_before_the_first_upload() -> None:
    empty = {
        "totalCount": 0,
        "nodes": [],
        "edges": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }
    page = "{totalCount nodes {id} edges {cursor} pageInfo {hasNextPage hasPreviousPage startCursor endCursor}}"
    for name in ("customers", "gems", "deals", "uploads"):
        for size in ("", "(first: 3)", "(last: 3)"):
            assert data(f"{{{name}{size} {page}}}") == {name: empty}
    assert data("{topClients {username}}") == {"topClients": []}
    for arguments in ("", "(by: [CUSTOMER, DAY], offset: 5)"):
        stats = data(f"{{dealStats{arguments} {{totalCount nodes {{total share}}}}}}")
        assert stats == {"dealStats": {"totalCount": 0, "nodes": []}}
    for name in ('customer(username: "ann") {id}', 'gem(name: "ruby") {id}', "currentUpload {id}"):
        assert data(f"{{{name}}}") == {name.partition(" ")[0].partition("(")[0]: None}
    assert data(NODE, id=write_row_id("Deal", 5 << 32, uuid.uuid4())) == {"node": None}
    assert "upload" not in execute_query("{deals {totalCount}}")["extensions"]


# Uploads other than the current one

UPLOAD_QUERIES = [
    f"query ($id: ID) {{result: {field}}}"
    for field in (
        "topClients(upload: $id) {username}",
        "customers(upload: $id) {nodes {username}}",
        'customer(username: "old", upload: $id) {username}',
        "gems(upload: $id) {nodes {name}}",
        'gem(name: "old", upload: $id) {name}',
        "deals(upload: $id) {nodes {customer {username}}}",
        "dealStats(by: [GEM], upload: $id) {nodes {gem {name}}}",
    )
]


def test_retained_upload_is_read_by_its_id() -> None:
    old = load(deal("old", "old"), deal("old", "old"))
    new = load(deal("new", "new"))
    for query in UPLOAD_QUERIES:
        assert "old" in str(data(query, id=id_of(old))), query
        for upload in (id_of(new), None):
            assert "old" not in str(data(query, id=upload)), query


def test_upload_without_rows_cannot_be_read(limits: Any) -> None:
    limits(keep_uploads=2)
    pruned = load(deal("old"))
    for name in ("a", "b"):
        load(deal(name))
    apply_retention(settings.DEALS_LIMITS)
    unfinished = Upload.objects.create(file_name="f", sha256="0" * 64, size=1)
    for upload in (id_of(pruned), id_of(unfinished), write_upload_id(uuid.uuid4())):
        for query in UPLOAD_QUERIES:
            assert code(query, id=upload) == "upload_not_retained", query


def test_one_operation_can_compare_two_uploads() -> None:
    old = load(deal("ann", total="1"), deal("bob"))
    load(deal("ann", total="2"))
    query = """query ($old: ID) {
        current: customer(username: "ann") {deals {totalCount nodes {total customer {spentMoney}}}}
        previous: customer(username: "ann", upload: $old) {deals {totalCount nodes {total customer {spentMoney}}}}
    }"""
    assert data(query, old=id_of(old)) == {
        name: {"deals": {"totalCount": 1, "nodes": [{"total": total, "customer": {"spentMoney": total}}]}}
        for name, total in (("current", "2"), ("previous", "1"))
    }


# Exact numbers


def test_money_is_exact_in_every_field() -> None:
    rows = [deal(total="999999999999.99")] * 900 + [deal("bob", total="0.07"), deal("cid", total="100.50")]
    load(*rows)
    assert data("{topClients {spentMoney} gems {nodes {total}} deals(last: 1) {nodes {total}}}") == {
        "topClients": [{"spentMoney": "899999999999991"}, {"spentMoney": "100.5"}, {"spentMoney": "0.07"}],
        "gems": {"nodes": [{"total": "900000000000091.57"}]},
        "deals": {"nodes": [{"total": "100.5"}]},
    }


def test_sums_over_many_large_deals_are_exact() -> None:
    load(*[deal(total="999999999999.99", quantity="999999999")] * 901)
    measures = "{quantity total minTotal maxTotal averageTotal}"
    (group,) = data(f"{{dealStats {{nodes {measures}}}}}")["dealStats"]["nodes"]
    assert group == {
        "quantity": 901 * 999_999_999,
        "total": "900999999999990.99",
        "minTotal": "999999999999.99",
        "maxTotal": "999999999999.99",
        "averageTotal": "999999999999.99",
    }
    for having in ("{quantity: {eq: 900999999099}}", '{total: {gte: "900999999999990.99"}}'):
        assert data(f"{{dealStats(having: {having}) {{nodes {measures}}}}}")["dealStats"]["nodes"] == [group]
    for having in ("{quantity: {gte: 900999999100}}", '{total: {gte: "900999999999991"}}'):
        assert data(f"{{dealStats(having: {having}) {{nodes {measures}}}}}")["dealStats"]["nodes"] == []
    purchase = data("{customers {nodes {purchases {nodes {quantity total}}}}}")["customers"]["nodes"][0]["purchases"]
    assert purchase["nodes"] == [{"quantity": group["quantity"], "total": group["total"]}]


# Scalars

#: Fields whose only argument contains a value of the scalar.
MONEY = "customers(filter: {spentMoney: {gte: %s}})"
BIG_INT = "customers(filter: {dealCount: {gte: %s}})"
DATETIME = "deals(filter: {date: {eq: %s}})"
DATETIMES = [
    "2020-01-02 21:00:00", "2020-01-02T21:00:00", "2020-01-02T21:00:00Z", "2020-01-02 21:00:00.000000Z",
    "2020-01-03T00:00:00+03:00", "2020-01-03 00:00:00 +03:00", "2020-01-03T00:00:00.0+0300", "2020-01-02T18:00:00-03",
    " 2020-01-02 21:00:00 ", "2020-01-02t21:00:00z", "2020-01-02T21:00:00-00:00",
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "scalar", "literals"),
    [
        (MONEY, "Money", {2: ["8", '"0"', '"8.00"', "0"], 1: ['"10.75"', '"8.01"', "10", '"010.7"'],
                          0: ['"10.76"', '"92233720368547758.07"', "92233720368547758"]}),
        (BIG_INT, "BigInt", {2: ["2", "0", "-5", "-9223372036854775808"],
                             0: ["3", "3000000000", "9223372036854775807"]}),
        (DATETIME, "DateTime", {1: [json.dumps(text) for text in DATETIMES], 0: ['"2020-01-02 21:00:01"']}),
    ],
)  # fmt: skip
def test_scalars_are_accepted_as_literals_and_as_variables(
    field: str, scalar: str, literals: dict[int, list[str]]
) -> None:
    load(*ROWS)
    for count, accepted in literals.items():
        for literal in accepted:
            (connection,) = data(f"{{{field % literal} {{totalCount}}}}").values()
            assert connection == {"totalCount": count}, literal
            query = f"query ($value: {scalar}) {{{field % '$value'} {{totalCount}}}}"
            assert list(data(query, value=json.loads(literal)).values()) == [connection], literal


@pytest.mark.parametrize(
    ("field", "scalar", "literals"),
    [
        (MONEY, "Money", ["NaN", '"NaN"', '"Infinity"', "1e3", '"1e3"', "1.5", "true", "-1", '"-1"', '"1.234"', '"1."',
                          '".5"', '""', '" 1"', '"1,5"', '"٣"', '"1\\u0000"', "{a: 1}", "[[1]]", '"1_000"', '"+1"',
                          '"92233720368547758.08"', '"123456789012345678"']),
        (BIG_INT, "BigInt", ["NaN", "1e3", "1.0", "true", '"5"', "9223372036854775808", "-9223372036854775809", "{}",
                           "[[1]]", "9" * 99]),
        (DATETIME, "DateTime", ['"2020-01-02"', '"2020-02-30 00:00:00"', "20200102", "NaN", "true", '""', "{}",
                              '"2020-01-02 24:00:00"', '"02.01.2020 21:00"', '"0001-01-01 00:00:00+03:00"', "1e3",
                              '"9999-12-31 23:59:59-01:00"', '"2020-01-02 21:00:00.0000001"', '"now"',
                              '"20200102T210000"']),
    ],
)  # fmt: skip
def test_invalid_scalars_are_rejected_with_the_expected_format(field: str, scalar: str, literals: list[str]) -> None:
    load(*ROWS)
    for literal in literals:
        problem = error(f"{{{field % literal} {{totalCount}}}}")
        assert_describes_the_format(problem)
        assert problem["locations"], literal
        if literal not in ("NaN", "{a: 1}"):
            query = f"query ($value: {scalar}) {{{field % '$value'} {{totalCount}}}}"
            assert_describes_the_format(error(query, value=json.loads(literal)))


def assert_describes_the_format(problem: dict[str, Any]) -> None:
    """Check that the error is a client error, describes the format and exposes no Python internals."""
    assert problem["extensions"] == {"code": "graphql_invalid"}
    assert "such as" in problem["message"] or "whole number" in problem["message"]
    for internal_name in ("Error", "Decimal", "object", "class", "digits", "True", "None", "\0"):
        assert internal_name not in problem["message"]


def test_number_with_too_many_digits_is_rejected() -> None:
    for field in ("customers(first: %s)", "topClients(limit: %s)", MONEY, BIG_INT):
        for number in ("9" * 5000, "-" + "9" * 101):
            problem = error(f"{{{field % number} {{__typename}}}}")
            assert problem == {
                "message": "A number has more than 100 digits.",
                "extensions": {"code": "limit_exceeded"},
            }


# Filters

ACUTE = "\N{COMBINING ACUTE ACCENT}"
NAMES = [
    "ann", "Ann", "anna", "\N{LATIN SMALL LETTER E WITH ACUTE}va", "50%", "a_b", "axb", "back\\slash", "o'neil", "%s",
    "💎 gem", "💎💎x", "ёлка", "Ёлка", "ﬁne", "a b", "\N{OBJECT REPLACEMENT CHARACTER}", "[a]*",
]  # fmt: skip
FILTERED_ROWS = [
    deal(
        NAMES[index % 18],
        NAMES[index * 5 % 18],
        str(Decimal(index * 7 % 11) / 4),
        str(1 + index * 3 % 5),
        f"2020-01-0{1 + index % 4} 0{index % 3}:00:00.{index % 2}",
    )
    for index in range(36)
]
#: Deals in the order of the file, as the reference parser reads them.
DEALS = reference_parser.read(csv_of(*FILTERED_ROWS).decode())

NAME_LOOKUPS: list[Any] = [
    *[{"eq": name} for name in (*NAMES, "ANN", f"e{ACUTE}va", "", "%", "a\0b", "\0", "x" * 1000)],
    *[{"in": names} for names in ([], ["ann"], ["Ann", "unknown", "50%"], [f"e{ACUTE}va", "ёлка", "ёлка"], NAMES)],
    {"in": ["\0"]},
    *[
        {"contains": part}
        for part in ("", "a", "A", "n", "%", "_", "\\", "\\\\", "'", '"', f"e{ACUTE}", ACUTE, "💎", "💎x", " ", "лка",
                     "Ё", "fi", "%%", "%s", "[a]", "*", "\0", "a\0", "x" * 1000)
    ],
    {"eq": "ann", "contains": "n", "in": ["ann", "anna"]},
    {"eq": "ann", "contains": "x"},
]  # fmt: skip
EMPTY_LOOKUPS: list[Any] = [None, {}, {"eq": None}, {"eq": None, "in": None}]


def comparisons(*values: Any) -> list[Any]:
    """Return the lookups of an ordered type: each operator with each value, and some combinations."""
    single = [{name: value} for value in values for name in ("eq", "gte", "lte")]
    combined = [{"gte": values[0], "lte": values[1]}, {"in": values[:1], "lte": values[0]}]
    return [*single, *combined, {"in": []}, {"in": values}]


MONEY_LOOKUPS = comparisons("0.5", "1.75", "0", "0.01", "2.50", "3.75", "92233720368547758.07")
NUMBER_LOOKUPS = comparisons(2, 4, 0, -1, 2**31, 2**63 - 1)
DATETIME_LOOKUPS = comparisons(
    "2020-01-02T01:00:00.100000Z", "2020-01-03T02:00:00Z", "2020-01-03T02:00:00.000001Z", "2020-01-03T05:00:00+03:00",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
)  # fmt: skip


def matches(lookup: Any, value: Any) -> bool:
    """Return whether a lookup matches a value, by the documentation of the filters."""
    parse: Any = {str: nfc, Decimal: Decimal, int: int, datetime: datetime.fromisoformat}[type(value)]
    conditions = {name: operand for name, operand in (lookup or {}).items() if operand is not None}
    is_listed = value in map(parse, conditions.pop("in")) if "in" in conditions else True
    return is_listed and all(OPERATORS[name](value, parse(operand)) for name, operand in conditions.items())


OPERATORS: dict[str, Any] = {"eq": operator.eq, "contains": operator.contains, "gte": operator.ge, "lte": operator.le}


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def filtered_nodes(root: str, fields: str, filter_: Any) -> Any:
    filter_type = f"{root[:-1].title()}Filter"
    query = f"query ($filter: {filter_type}) {{{root}(first: 100, filter: $filter) {{totalCount nodes {{{fields}}}}}}}"
    page = data(query, filter=filter_)[root]
    assert page["totalCount"] == len(page["nodes"])
    return page["nodes"]


@pytest.mark.parametrize(
    ("name", "attribute", "lookups"),
    [("customer", "customer", NAME_LOOKUPS), ("gem", "item", NAME_LOOKUPS), ("total", "total", MONEY_LOOKUPS),
     ("quantity", "quantity", NUMBER_LOOKUPS), ("date", "date", DATETIME_LOOKUPS)],
)  # fmt: skip
def test_deal_filter_selects_the_matching_lines(name: str, attribute: str, lookups: list[Any]) -> None:
    load(*FILTERED_ROWS)
    positions = {row["id"]: position for position, row in enumerate(filtered_nodes("deals", "id", None))}
    for lookup in lookups + EMPTY_LOOKUPS:
        found = [positions[row["id"]] for row in filtered_nodes("deals", "id", {name: lookup})]
        assert found == [
            position for position, line in enumerate(DEALS) if matches(lookup, getattr(line, attribute))
        ], lookup


@pytest.mark.parametrize(
    ("root", "key", "money", "attribute"),
    [("customers", "username", "spentMoney", "customer"), ("gems", "name", "total", "item")],
)
def test_customer_and_gem_filters_select_the_matching_rows(root: str, key: str, money: str, attribute: str) -> None:
    load(*FILTERED_ROWS)
    names = {getattr(line, attribute) for line in DEALS}
    sums = {name: sum(line.total for line in DEALS if getattr(line, attribute) == name) for name in names}
    counts = {name: sum(getattr(line, attribute) == name for line in DEALS) for name in names}
    values: dict[str, tuple[list[Any], dict[str, Any]]] = {
        key: (NAME_LOOKUPS, {name: name for name in names}),
        money: (MONEY_LOOKUPS, sums),
        "dealCount": (NUMBER_LOOKUPS, counts),
    }
    for column, (lookups, values_by_name) in values.items():
        for lookup in lookups + EMPTY_LOOKUPS:
            found = {row[key] for row in filtered_nodes(root, key, {column: lookup})}
            assert found == {name for name in names if matches(lookup, values_by_name[name])}, lookup


def test_conditions_are_combined_by_and() -> None:
    load(*FILTERED_ROWS)
    filter_ = {
        "customer": {"contains": "a", "in": ["ann", "anna", "a_b", "ёлка", "Ann"]},
        "gem": {"contains": "a"},
        "total": {"gte": "0.25", "lte": "2.5"},
        "quantity": {"in": [1, 2, 4, 5]},
        "date": {"gte": "2020-01-01T00:00:00Z", "lte": "2020-01-04T23:00:00Z"},
    }
    attributes = {"customer": "customer", "gem": "item", "total": "total", "quantity": "quantity", "date": "date"}
    expected = [
        (line.customer, line.item)
        for line in DEALS
        if all(matches(lookup, getattr(line, attributes[name])) for name, lookup in filter_.items())
    ]
    assert 1 < len(expected) < len(DEALS) / 2
    found = filtered_nodes("deals", "customer {username} gem {name}", filter_)
    assert [(row["customer"]["username"], row["gem"]["name"]) for row in found] == expected


def test_filters_select_few_or_many_names() -> None:
    """An SQL statement lists the names if they are few, and repeats the condition if they are many."""
    rows = [deal(f"c{number}", f"g{number * 7 % 250}", str(number)) for number in range(250)]
    load(*rows)
    lines = reference_parser.read(csv_of(*rows).decode())
    every_customer, every_gem, some_gems = {"contains": "c"}, {"contains": "g"}, {"contains": "g1"}
    query = """query ($filter: DealFilter) {
        deals(filter: $filter) {totalCount}
        dealStats(filter: $filter) {nodes {dealCount total}}
        with_maximum: dealStats(filter: $filter) {nodes {dealCount total maxTotal}}
    }"""
    combinations = product((None, every_customer, {"eq": "c7"}), (None, every_gem, some_gems), (None, {"gte": 99}))
    for customers, gems, totals in combinations:
        totals_found = [
            line.total
            for line in lines
            if matches(customers, line.customer) and matches(gems, line.item) and matches(totals, line.total)
        ]
        result = data(query, filter={"customer": customers, "gem": gems, "total": totals})
        assert result["deals"]["totalCount"] == len(totals_found)
        sums = [{"dealCount": len(totals_found), "total": str(sum(totals_found))}] if totals_found else []
        assert result["dealStats"]["nodes"] == sums
        assert result["with_maximum"]["nodes"] == [{**group, "maxTotal": str(max(totals_found))} for group in sums]


def test_filter_applies_to_the_deals_of_each_customer() -> None:
    load(*FILTERED_ROWS)
    query = """query ($filter: DealFilter) {customers {nodes {
        username deals(first: 9, filter: $filter, orderBy: FILE_ASC) {totalCount nodes {gem {name}}}
    }}}"""
    for lookup in NAME_LOOKUPS + EMPTY_LOOKUPS:
        for customer in data(query, filter={"gem": lookup})["customers"]["nodes"]:
            lines = [line for line in DEALS if line.customer == customer["username"]]
            expected = [line.item for line in lines if matches(lookup, line.item)]
            deals = customer["deals"]
            assert (deals["totalCount"], [row["gem"]["name"] for row in deals["nodes"]]) == (len(expected), expected)


def test_filter_applies_to_the_deals_of_each_gem() -> None:
    load(*ROWS)
    query = """query ($filter: DealFilter) {gems(orderBy: NAME_ASC) {nodes {
        name deals(orderBy: FILE_ASC, filter: $filter) {totalCount nodes {rowNumber}}
    }}}"""
    for filter_, expected in (
        (None, {"opal": [2], "ruby": [1, 3, 4]}),
        ({"customer": {"eq": "ann"}}, {"opal": [], "ruby": [1, 3]}),
        ({"total": {"gte": "1"}, "gem": {"contains": "u"}}, {"opal": [], "ruby": [1, 4]}),
    ):
        gems = data(query, filter=filter_)["gems"]["nodes"]
        assert {gem["name"]: [deal["rowNumber"] for deal in gem["deals"]["nodes"]] for gem in gems} == expected
        assert [gem["deals"]["totalCount"] for gem in gems] == [len(rows) for rows in expected.values()]
