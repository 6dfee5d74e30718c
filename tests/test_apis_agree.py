"""REST and GraphQL return the same exact values for a file, and so do the fields of GraphQL."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests import reference_parser
from tests.builders import csv_of, deal, load
from tests.graphql import data
from tests.servers import TIMEOUT, Server

NAMES = ["ann", "Ann", "bob", "ёлка", "Яна", "x y", "💎"]
TOTALS = ["0", "0.01", "0.1", "10", "10.50", "99999999999.99", "999999999999.99", "3.33"]


def small_file(seed: int) -> list[str]:
    """Up to 40 deals among few names and sums, so that places and shared gems are often a matter of order."""
    chance = random.Random(seed)  # noqa: S311
    customers, gems = (chance.sample(NAMES, chance.randint(1, len(NAMES))) for _ in range(2))
    return [
        deal(
            chance.choice(customers),
            chance.choice(gems),
            chance.choice(TOTALS),
            str(chance.randint(1, 9)),
            f"20{chance.randint(18, 20)}-0{chance.randint(1, 3)}-01 00:00:00",
        )
        for _ in range(chance.randint(1, 40))
    ]


def ranking(rows: list[str], limit: int) -> list[Any]:
    """The clients who spent most and the gems that at least two of them bought, by the brief."""
    facts = reference_parser.read(csv_of(*rows).decode())
    names = {fact.customer for fact in facts}
    spent = {name: sum(fact.total for fact in facts if fact.customer == name) for name in names}
    first = sorted(spent, key=lambda name: (-spent[name], name))[:limit]
    bought = {name: {fact.item for fact in facts if fact.customer == name} for name in first}
    return [
        (name, spent[name], sorted(gem for gem in bought[name] if sum(gem in bought[other] for other in first) > 1))
        for name in first
    ]


def places(clients: Any, money: str) -> list[Any]:
    """Sums by their digits, as they were written."""
    return [(one["username"], str(one[money]), one["gems"]) for one in clients]


def by_rest(client: httpx.Client, limit: int) -> list[Any]:
    answer = client.get("/api/top-clients/", params={"limit": limit}).text
    return places(json.loads(answer, parse_int=str, parse_float=str)["response"], "spent_money")


def by_graphql(client: httpx.Client, limit: int) -> list[Any]:
    query = f"{{topClients(limit: {limit}) {{username spentMoney gems}}}}"
    answer = client.post("/graphql/", json={"query": query}).json()
    return places(answer["data"]["topClients"], "spentMoney")


def test_concurrent_rest_and_graphql_responses_agree_exactly(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
        for seed in range(25):
            rows = small_file(seed)
            client.post("/api/upload/", files={"deals": ("deals.csv", csv_of(*rows))}).raise_for_status()
            limits = (1, 2, 5, 100)
            asked = [(pool.submit(by_rest, client, limit), pool.submit(by_graphql, client, limit)) for limit in limits]
            for limit, (rest, graph) in zip(limits, asked, strict=True):
                assert rest.result() == graph.result(), (seed, limit)
                found = [(name, Decimal(spent), gems) for name, spent, gems in rest.result()]
                assert found == ranking(rows, limit), (seed, limit)


SUMS = """{
    customers(first: 7) {nodes {
        username spentMoney dealCount gemCount
        purchases(first: 7) {totalCount nodes {gem {name} total quantity dealCount}}
        deals(first: 40) {totalCount nodes {total}}
    }}
}"""
STATS = "query ($by: [DealStatsKey!]) {dealStats(by: $by, limit: 100) {%s total quantity dealCount}}"


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(8))
def test_stored_sums_equal_the_sums_of_groups(seed: int) -> None:
    load(*small_file(seed))
    customers = data(SUMS)["customers"]["nodes"]
    by_customer = groups(["CUSTOMER"], "customer {username}")
    pieces = {one["username"]: sum(each["quantity"] for each in one["purchases"]["nodes"]) for one in customers}
    assert by_customer == {
        (one["username"],): (one["spentMoney"], pieces[one["username"]], one["dealCount"]) for one in customers
    }
    assert groups(["CUSTOMER", "GEM"], "customer {username} gem {name}") == {
        (one["username"], each["gem"]["name"]): (each["total"], each["quantity"], each["dealCount"])
        for one in customers
        for each in one["purchases"]["nodes"]
    }
    for one in customers:
        assert one["purchases"]["totalCount"] == one["gemCount"]
        assert one["deals"]["totalCount"] == one["dealCount"] == len(one["deals"]["nodes"])
        assert sum(Decimal(each["total"]) for each in one["deals"]["nodes"]) == Decimal(one["spentMoney"])
    gems = data("{gems(first: 7) {nodes {name total dealCount buyerCount buyers(first: 7) {totalCount nodes {id}}}}}")
    by_gem = groups(["GEM"], "gem {name}")
    assert {name: (total, count) for name, (total, _, count) in by_gem.items()} == {
        (one["name"],): (one["total"], one["dealCount"]) for one in gems["gems"]["nodes"]
    }
    for one in gems["gems"]["nodes"]:
        assert one["buyers"]["totalCount"] == one["buyerCount"] == len(one["buyers"]["nodes"])


def groups(by: list[str], fields: str) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """What each group adds up to, by the names of its keys."""
    found = {}
    for group in data(STATS % fields, by=by)["dealStats"]:
        names = tuple(next(iter(group[key.lower()].values())) for key in by)
        found[names] = (group["total"], group["quantity"], group["dealCount"])
    return found
