"""GraphQL: an uncached page, cached responses, the ends of long lists, and statistics of a million deals."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from graphql import get_introspection_query

from tests.bench.clients import body_size, get, post, requests_per_second
from tests.bench.environment import BenchEnvironment
from tests.bench.rest import TOP_CLIENTS
from tests.bench.table import interleaved_medians, ms, print_row, timed
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
    environment.activate("equal dates")
    bench_ends_of_list(environment, "by date, all dates equal", "DATE_ASC")
    bench_cached(environment)


def median_of(action: Callable[[], object], times: int = 10) -> Callable[[], float]:
    """Return a function that returns the median time of several calls."""
    return lambda: statistics.median(timed(action) for _ in range(times))


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
    query = "query ($after: String, $before: String, $first: Int, $last: Int) {deals(orderBy: %s, after: $after"
    query = query % order + ", before: $before, first: $first, last: $last) {edges {cursor} nodes {id date}}}"

    def edges(**arguments: Any) -> list[Any]:
        page: list[Any] = environment.data(query, **arguments)["deals"]["edges"]
        assert len(page) == 100
        return page

    before_last_page = edges(last=100, before=edges(last=100)[0]["cursor"])[-1]["cursor"]
    after_first_page = edges(first=100, after=edges(first=100)[-1]["cursor"])[0]["cursor"]
    first, last, last_backwards, first_backwards = interleaved_medians(
        median_of(lambda: edges(first=100)),
        median_of(lambda: edges(first=100, after=before_last_page)),
        median_of(lambda: edges(last=100)),
        median_of(lambda: edges(last=100, before=after_first_page)),
    )
    print_row(
        f"page of {environment.rows:,} deals {name}: last; backwards last and first",
        f"{ms(last)}; {ms(last_backwards)} and {ms(first_backwards)}", f"first: {ms(first)}",
        f"{max(last, last_backwards, first_backwards) / first:.1f}×", "≤ 2×",
    )  # fmt: skip


def bench_stats(environment: BenchEnvironment) -> None:
    measures = "{total dealCount quantity minTotal maxTotal averageTotal}"
    queries = {
        "`dealStats` by gem": "{dealStats(by: [GEM]) {nodes {gem {name} total dealCount averageTotal}}}",
        "`dealStats` by month": f"{{dealStats(by: [MONTH], orderBy: DATE_ASC, limit: 100) {{nodes {measures}}}}}",
        "`dealStats` by gem and month": f"{{dealStats(by: [GEM, MONTH], limit: 100) {{nodes {measures}}}}}",
        "`dealStats` by customer and gem": f"{{dealStats(by: [CUSTOMER, GEM]) {{nodes {measures}}}}}",
        "`totalCount` of a filter": '{deals(filter: {gem: {contains: "-2"}, total: {gte: 4500}}) {totalCount}}',
        "dashboard": DASHBOARD,
    }
    for name, query in queries.items():
        baseline, result = interleaved_medians(
            median_of(environment.count_deals, 3), median_of(partial(environment.data, query), 3)
        )
        cost = environment.post(query, {}).json()["extensions"]["cost"]["requested"]
        print_row(
            f"{name} of {environment.rows:,} deals, uncached (cost {cost:,})", ms(result),
            f"`count(*)` of the same deals: {ms(baseline)}", f"{result / baseline:.1f}×", "< 1 s",
        )  # fmt: skip
    baseline, introspection = interleaved_medians(
        median_of(partial(environment.data, "{__typename}")),
        median_of(partial(environment.data, get_introspection_query())),
    )
    print_row("introspection by a new text", ms(introspection), f"`{{__typename}}`: {ms(baseline)}", "", "< 1 s")


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
