"""REST and GraphQL return the same exact values for a file, and GraphQL fields agree with each other."""

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
from tests.servers import NO_TLS, TIMEOUT, Server

NAMES = ["ann", "Ann", "bob", "ёлка", "Яна", "x y", "💎"]
TOTALS = ["0", "0.01", "0.1", "10", "10.50", "99999999999.99", "999999999999.99", "3.33"]


def small_file(seed: int) -> list[str]:
    """Return up to 40 deals with few names and amounts, so that ties in the ranking and shared gems are frequent."""
    rng = random.Random(seed)  # noqa: S311
    customers, gems = (rng.sample(NAMES, rng.randint(1, len(NAMES))) for _ in range(2))
    return [
        deal(
            rng.choice(customers),
            rng.choice(gems),
            rng.choice(TOTALS),
            str(rng.randint(1, 9)),
            f"20{rng.randint(18, 20)}-0{rng.randint(1, 3)}-01 00:00:00",
        )
        for _ in range(rng.randint(1, 40))
    ]


def ranking(rows: list[str], limit: int) -> list[Any]:
    """Compute the top clients and the gems that at least two of them bought, independently of the service."""
    deals = reference_parser.read(csv_of(*rows).decode())
    names = {row.customer for row in deals}
    spent = {name: sum(row.total for row in deals if row.customer == name) for name in names}
    top = sorted(spent, key=lambda name: (-spent[name], name))[:limit]
    bought = {name: {row.item for row in deals if row.customer == name} for name in top}
    return [
        (name, spent[name], sorted(gem for gem in bought[name] if sum(gem in bought[other] for other in top) > 1))
        for name in top
    ]


def ranking_rows(clients: Any, money_key: str) -> list[Any]:
    """Return the clients as tuples; amounts are strings with the digits of the response."""
    return [(client["username"], str(client[money_key]), client["gems"]) for client in clients]


def ranking_from_rest(client: httpx.Client, limit: int) -> list[Any]:
    body = client.get("/api/top-clients/", params={"limit": limit}).text
    return ranking_rows(json.loads(body, parse_int=str, parse_float=str)["response"], "spent_money")


def ranking_from_graphql(client: httpx.Client, limit: int) -> list[Any]:
    query = f"{{topClients(limit: {limit}) {{username spentMoney gems}}}}"
    body = client.post("/graphql/", json={"query": query}).json()
    return ranking_rows(body["data"]["topClients"], "spentMoney")


def test_concurrent_rest_and_graphql_responses_agree_exactly(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=server.url, timeout=TIMEOUT, verify=NO_TLS) as client:
        for seed in range(25):
            rows = small_file(seed)
            client.post("/api/upload/", files={"deals": ("deals.csv", csv_of(*rows))}).raise_for_status()
            limits = (1, 2, 5, 100)
            pending = [
                (pool.submit(ranking_from_rest, client, limit), pool.submit(ranking_from_graphql, client, limit))
                for limit in limits
            ]
            for limit, (rest, graphql) in zip(limits, pending, strict=True):
                assert rest.result() == graphql.result(), (seed, limit)
                exact = [(name, Decimal(spent), gems) for name, spent, gems in rest.result()]
                assert exact == ranking(rows, limit), (seed, limit)


SUMS = """{
    customers(first: 7) {nodes {
        username spentMoney dealCount gemCount
        purchases(first: 7) {totalCount nodes {gem {name} total quantity dealCount}}
        deals(first: 40) {totalCount nodes {total}}
    }}
}"""
STATS = "query ($by: [DealStatsKey!]) {dealStats(by: $by, limit: 100) {nodes {%s total quantity dealCount}}}"


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(8))
def test_stored_sums_equal_the_sums_of_groups(seed: int) -> None:
    load(*small_file(seed))
    customers = data(SUMS)["customers"]["nodes"]
    by_customer = groups(["CUSTOMER"], "customer {username}")
    quantities = {
        customer["username"]: sum(purchase["quantity"] for purchase in customer["purchases"]["nodes"])
        for customer in customers
    }
    assert by_customer == {
        (customer["username"],): (customer["spentMoney"], quantities[customer["username"]], customer["dealCount"])
        for customer in customers
    }
    assert groups(["CUSTOMER", "GEM"], "customer {username} gem {name}") == {
        (customer["username"], purchase["gem"]["name"]): (
            purchase["total"],
            purchase["quantity"],
            purchase["dealCount"],
        )
        for customer in customers
        for purchase in customer["purchases"]["nodes"]
    }
    for customer in customers:
        assert customer["purchases"]["totalCount"] == customer["gemCount"]
        deals = customer["deals"]
        assert deals["totalCount"] == customer["dealCount"] == len(deals["nodes"])
        assert sum(Decimal(row["total"]) for row in deals["nodes"]) == Decimal(customer["spentMoney"])
    gems = data("{gems(first: 7) {nodes {name total dealCount buyerCount buyers(first: 7) {totalCount nodes {id}}}}}")
    by_gem = groups(["GEM"], "gem {name}")
    assert {name: (total, count) for name, (total, _, count) in by_gem.items()} == {
        (gem["name"],): (gem["total"], gem["dealCount"]) for gem in gems["gems"]["nodes"]
    }
    for gem in gems["gems"]["nodes"]:
        assert gem["buyers"]["totalCount"] == gem["buyerCount"] == len(gem["buyers"]["nodes"])


def groups(by: list[str], fields: str) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """Return total, quantity and deal count of each group, by the names of its keys."""
    totals = {}
    for group in data(STATS % fields, by=by)["dealStats"]["nodes"]:
        names = tuple(next(iter(group[key.lower()].values())) for key in by)
        totals[names] = (group["total"], group["quantity"], group["dealCount"])
    return totals
