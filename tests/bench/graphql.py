"""GraphQL: an uncached page, cached responses, the ends of long lists, and statistics of a million deals."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from graphql import get_introspection_query

from tests.bench.clients import body_size, get, post, requests_per_second
from tests.bench.environment import BenchEnvironment
from tests.bench.rest import TOP_CLIENTS
from tests.bench.table import interleaved_medians, median_of, ms, print_row
from tests.servers import REAL_FILE

DEALS_QUERY = "{deals(first: 100) {nodes {id total quantity date customer {username} gem {name}}}}"
TOP_CLIENTS_QUERY = "{topClients {username spentMoney gems}}"


def bench(environment: BenchEnvironment) -> None:
    environment.activate("ordinary")
    bench_page(environment)
    for name, order in (("in file order", "FILE_ASC"), ("by date", "DATE_ASC")):
        bench_ends_of_list(environment, name, order)
    bench_stats(environment)
    bench_compare(environment)
    bench_searches(environment)
    environment.activate("equal dates")
    bench_ends_of_list(environment, "by date, all dates equal", "DATE_ASC")
    bench_cached(environment)


def bench_page(environment: BenchEnvironment) -> None:
    def get_from_drf() -> Any:
        return environment.client.get("/drf/deals/")

    drf_deals, deals = get_from_drf().json(), environment.data(DEALS_QUERY)["deals"]["nodes"]
    assert [deal["customer"] | deal["gem"] for deal in deals] == [deal["customer"] | deal["gem"] for deal in drf_deals]
    baseline, result = interleaved_medians(
        median_of(get_from_drf), median_of(lambda: environment.data(DEALS_QUERY)), rounds=9
    )
    print_row(
        "100 deals with customer and gem, uncached", ms(result), f"DRF's ModelSerializer: {ms(baseline)}",
        f"{result / baseline:.1f}×", "≤ 2.5×",
    )  # fmt: skip


def bench_cached(environment: BenchEnvironment) -> None:
    environment.server.upload(REAL_FILE.read_bytes())
    rest_request = get(TOP_CLIENTS)
    rest_size = body_size(environment.server, rest_request)
    requests = {
        "top clients by GraphQL, cached, GET": get(f"/graphql/?query={quote(TOP_CLIENTS_QUERY)}"),
        "top clients by GraphQL, cached, POST": post("/graphql/", {"query": TOP_CLIENTS_QUERY}),
        "100 deals by GraphQL, cached, GET": get(f"/graphql/?query={quote(DEALS_QUERY)}"),
        "100 deals by GraphQL, cached, POST": post("/graphql/", {"query": DEALS_QUERY}),
    }
    for name, request in requests.items():
        # Large responses take longer on any server, so each one is compared with a constant response of its size.
        size = body_size(environment.server, request)
        rest_constant, rest, constant, result = interleaved_medians(
            *(
                partial(requests_per_second, environment.server, sent)
                for sent in (get(f"/constant/{rest_size}/"), rest_request, get(f"/constant/{size}/"), request)
            )
        )
        print_row(
            f"{name} ({size:,} bytes)", f"{result:,.0f} req/s",
            f"cached GET of REST: {rest:,.0f} req/s; constants of these sizes: {rest_constant:,.0f}, {constant:,.0f}",
            f"{100 * (result / constant) / (rest / rest_constant):.0f} %", "≥ 80 %",
        )  # fmt: skip


def bench_ends_of_list(environment: BenchEnvironment, name: str, order: str) -> None:
    first, last, last_backwards, first_backwards = ends_of_list(environment, order)
    print_row(
        f"page of {environment.rows:,} deals {name}: last; backwards last and first",
        f"{ms(last)}; {ms(last_backwards)} and {ms(first_backwards)}", f"first: {ms(first)}",
        f"{max(last, last_backwards, first_backwards) / first:.1f}×", "≤ 2×",
    )  # fmt: skip


def ends_of_list(environment: BenchEnvironment, order: str) -> list[float]:
    """Return the seconds of the first page, the last one, and backwards the last and the first one."""
    query = "query ($after: String, $before: String, $first: Int, $last: Int) {deals(orderBy: %s, after: $after"
    query = query % order + ", before: $before, first: $first, last: $last) {edges {cursor} nodes {id date}}}"

    def edges(**arguments: Any) -> list[Any]:
        page: list[Any] = environment.data(query, **arguments)["deals"]["edges"]
        assert len(page) == 100
        return page

    before_last_page = edges(last=100, before=edges(last=100)[0]["cursor"])[-1]["cursor"]
    after_first_page = edges(first=100, after=edges(first=100)[-1]["cursor"])[0]["cursor"]
    return interleaved_medians(
        median_of(lambda: edges(first=100)),
        median_of(lambda: edges(first=100, after=before_last_page)),
        median_of(lambda: edges(last=100)),
        median_of(lambda: edges(last=100, before=after_first_page)),
    )


_MEASURES: Final = "{total dealCount quantity minTotal maxTotal averageTotal}"
BY_GEM: Final = "{dealStats(by: [GEM]) {nodes {gem {name} total dealCount averageTotal}}}"
BY_GEM_AND_MONTH: Final = f"{{dealStats(by: [GEM, MONTH], limit: 100) {{nodes {_MEASURES}}}}}"
_BY_CUSTOMER_AND_GEM: Final = f"{{dealStats(by: [CUSTOMER, GEM]) {{nodes {_MEASURES}}}}}"
#: Statistics of all deals: the query by its name.
_STATS: Final = {
    "`dealStats` by gem": BY_GEM,
    "`dealStats` by month": f"{{dealStats(by: [MONTH], orderBy: DATE_ASC, limit: 100) {{nodes {_MEASURES}}}}}",
    "`dealStats` by gem and month": BY_GEM_AND_MONTH,
    "`dealStats` with minimum and maximum by customer and gem": _BY_CUSTOMER_AND_GEM,
    "`totalCount` of two conditions": '{deals(filter: {gem: {contains: "-2"}, total: {gte: 4500}}) {totalCount}}',
}


def bench_stats(environment: BenchEnvironment) -> None:
    queries = {**_STATS, **counts_of_one_name(environment), "dashboard": DASHBOARD}
    bench_queries(environment, queries, dict.fromkeys(queries, "< 1 s"))
    baseline, introspection = interleaved_medians(
        median_of(partial(environment.data, "{__typename}")),
        median_of(partial(environment.data, get_introspection_query())),
    )
    print_row("introspection by a new text", ms(introspection), f"`{{__typename}}`: {ms(baseline)}", "", "< 1 s")


def bench_large_stats(environment: BenchEnvironment) -> None:
    """Measure the queries that have goals for ten million deals."""
    counts = counts_of_one_name(environment)
    goals = dict.fromkeys(counts, "≤ 20 ms (aim: 5 ms)") | {
        "`dealStats` by gem and month": "≤ 1.0 s (aim: 50 ms)",
        "`dealStats` with minimum and maximum by customer and gem": "≤ 50 ms (aim: 20 ms)",
    }
    bench_queries(environment, _STATS | counts, goals)


def counts_of_one_name(environment: BenchEnvironment) -> dict[str, str]:
    """Return queries that count the deals of the customer and of the gem with the highest sums."""
    top = environment.data("{customers(first: 1) {nodes {username}} gems(first: 1) {nodes {name}}}")
    names = {"customer": top["customers"]["nodes"][0]["username"], "gem": top["gems"]["nodes"][0]["name"]}
    return {
        f"`totalCount` of one {field}": f'{{deals(filter: {{{field}: {{eq: "{name}"}}}}) {{totalCount}}}}'
        for field, name in names.items()
    }


def bench_queries(environment: BenchEnvironment, queries: Mapping[str, str], goals: Mapping[str, str]) -> None:
    """Measure the queries that have a goal."""
    for name, goal in goals.items():
        baseline, result = interleaved_medians(
            median_of(environment.count_deals, 3), median_of(partial(environment.data, queries[name]), 3)
        )
        cost = environment.post(queries[name], {}).json()["extensions"]["cost"]["requested"]
        print_row(
            f"{name} of {environment.rows:,} deals, uncached (cost {cost:,})", ms(result),
            f"`count(*)` of the same deals: {ms(baseline)}", f"{result / baseline:.2f}×", goal,
        )  # fmt: skip


#: Searches among many customers by name, and their goals; usernames have a word and a number.
_SEARCHES: Final = {
    '{username: {iStartsWith: "RESPLENDENT12"}}': "≤ 10 ms",
    '{username: {iStartsWith: "Res"}}': "≤ 10 ms",
    '{username: {iContains: "LENDENT12"}}': "< 1 s",
    '{OR: [{username: {iStartsWith: "RES"}}, {dealCount: {gte: 20}}], NOT: {gemCount: {lt: 3}}}': "< 1 s",
}


def bench_searches(environment: BenchEnvironment) -> None:
    """Measure the database time of the first page of customers that meet conditions."""
    environment.activate("many names")
    customers = environment.data("{currentUpload {customerCount}}")["currentUpload"]["customerCount"]
    page = "{customers%s {nodes {username spentMoney dealCount} pageInfo {hasNextPage endCursor}}}"
    for condition, goal in _SEARCHES.items():
        query = page % f"(filter: {condition})"
        baseline, result = interleaved_medians(
            median_database_seconds(environment, page % ""), median_database_seconds(environment, query)
        )
        assert environment.data(query)["customers"]["nodes"]
        print_row(
            f"database time of the first page of {customers:,} customers with `{condition}`", ms(result),
            f"without a filter: {ms(baseline)}", f"{result / baseline:.1f}×", goal,
        )  # fmt: skip


def median_database_seconds(environment: BenchEnvironment, query: str, times: int = 10) -> Callable[[], float]:
    """Return a function that returns the median time of the statements of a query, from ``Server-Timing``."""

    def database_seconds() -> float:
        match = re.search(r"db;dur=([0-9.]+)", environment.post(query, {}).headers["Server-Timing"])
        assert match is not None
        return float(match[1]) / 1000

    return lambda: statistics.median(database_seconds() for _ in range(times))


#: Every second customer of the base has other totals in the head.
COMPARE = """query ($base: ID!) {compare(base: $base) {
    customerCounts {added removed changed unchanged} totalDifference
    customers(first: 100) {totalCount nodes {change username spentMoneyDifference} pageInfo {hasNextPage endCursor}}
}}"""
COMPARE_IN_SQL = """
    SELECT count(*) FILTER (WHERE base.id IS NULL), count(*) FILTER (WHERE head.id IS NULL),
        count(*) FILTER (WHERE (base.spent_money, base.deal_count, base.gem_count, base.first_deal, base.last_deal)
            <> (head.spent_money, head.deal_count, head.gem_count, head.first_deal, head.last_deal))
    FROM (SELECT * FROM deals_api_customer WHERE upload_id = %s) base
    FULL JOIN (SELECT * FROM deals_api_customer WHERE upload_id = %s) head USING (username)
"""


def bench_compare(environment: BenchEnvironment) -> None:
    environment.activate("many names")
    base = environment.data("{currentUpload {id customerCount}}")["currentUpload"]
    environment.activate("many names, half changed")
    counts = environment.data(COMPARE, base=base["id"])["compare"]["customerCounts"]
    assert counts["changed"] + counts["unchanged"] == base["customerCount"]
    assert abs(counts["changed"] - counts["unchanged"]) < base["customerCount"] / 10

    def compare_in_sql() -> None:
        with environment.cursor() as cursor:
            cursor.execute("SELECT id FROM deals_api_upload WHERE state = 'loaded' ORDER BY id DESC LIMIT 2")
            head_id, base_id = (row[0] for row in cursor.fetchall())
            cursor.execute(COMPARE_IN_SQL, [base_id, head_id])
            assert cursor.fetchone() == (0, 0, counts["changed"])

    baseline, result = interleaved_medians(
        median_of(compare_in_sql, 3), median_of(lambda: environment.data(COMPARE, base=base["id"]), 3)
    )
    cost = environment.post(COMPARE, {"base": base["id"]}).json()["extensions"]["cost"]["requested"]
    print_row(
        f"`compare` of two uploads of {environment.rows:,} deals, {base['customerCount']:,} customers, half of them "
        f"changed: first page and counts, uncached (cost {cost:,})", ms(result),
        f"counts by a full join in SQL: {ms(baseline)}", f"{result / baseline:.1f}×", "< 1 s",
    )  # fmt: skip


#: The query of a typical dashboard page.
DASHBOARD = """{
    topClients(limit: 10) {username spentMoney gems}
    months: dealStats(by: [MONTH], orderBy: DATE_ASC, limit: 100) {nodes {month total dealCount minTotal maxTotal}}
    gems: dealStats(by: [GEM], limit: 100) {nodes {gem {name} total dealCount averageTotal}}
    customers {nodes {username spentMoney dealCount} totalCount pageInfo {hasNextPage endCursor}}
    allGems: gems {nodes {name total buyerCount} totalCount pageInfo {hasNextPage endCursor}}
    deals(orderBy: DATE_DESC) {
        nodes {date total quantity customer {username} gem {name}} totalCount pageInfo {hasNextPage endCursor}
    }
}"""
