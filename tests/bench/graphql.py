"""How fast the graph answers: a page, whatever is cached, the end of a long list, sums of a million deals."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from graphql import get_introspection_query

from tests.bench.clients import get, post, requests_per_second, size_of
from tests.bench.environment import BenchEnvironment
from tests.bench.rest import RANKING
from tests.bench.table import in_turns, ms, row, timed
from tests.servers import REAL_FILE

PAGE = "{deals(first: 100) {nodes {id total quantity date customer {username} gem {name}}}}"
TOP = "{topClients {username spentMoney gems}}"


def bench(environment: BenchEnvironment) -> None:
    environment.show("ordinary")
    bench_page(environment)
    for what, order in (("in the order of the file", "FILE_ASC"), ("by date", "DATE_ASC")):
        bench_end_of_list(environment, what, order)
    bench_sums(environment)
    environment.show("one moment")
    bench_end_of_list(environment, "by date, all dates equal", "DATE_ASC")
    bench_cached(environment)


def several(action: Callable[[], object], times: int = 10) -> Callable[[], float]:
    """Measures the median of a few."""
    return lambda: statistics.median(timed(action) for _ in range(times))


def bench_page(environment: BenchEnvironment) -> None:
    def by_drf() -> Any:
        return environment.client.get("/drf/deals/")

    theirs, ours = by_drf().json(), environment.data(PAGE)["deals"]["nodes"]
    assert [deal["customer"] | deal["gem"] for deal in ours] == [deal["customer"] | deal["gem"] for deal in theirs]
    yardstick, measured = in_turns(several(by_drf), several(lambda: environment.data(PAGE)), rounds=9)
    row(
        "100 deals with customer and gem, uncached", ms(measured), f"DRF's ModelSerializer: {ms(yardstick)}",
        f"{measured / yardstick:.1f}×", "≤ 2.5×",
    )  # fmt: skip


def bench_cached(environment: BenchEnvironment) -> None:
    environment.server.upload(REAL_FILE.read_bytes())
    rest = get(RANKING)
    questions = {
        "the ranking by GraphQL, cached, GET": get(f"/graphql/?query={quote(TOP)}"),
        "the ranking by GraphQL, cached, POST": post("/graphql/", {"query": TOP}),
        "100 deals by GraphQL, cached, GET": get(f"/graphql/?query={quote(PAGE)}"),
        "100 deals by GraphQL, cached, POST": post("/graphql/", {"query": PAGE}),
    }
    for what, request in questions.items():
        # More bytes take longer in any server, so each response is compared with a constant one of its size.
        sizes = size_of(environment.server, rest), size_of(environment.server, request)
        requests = (get(f"/constant/{sizes[0]}/"), rest, get(f"/constant/{sizes[1]}/"), request)
        measures = [lambda one=one: requests_per_second(environment.server, one) for one in requests]
        small, yardstick, constant, measured = in_turns(*measures)
        row(
            f"{what} ({sizes[1]:,} bytes)", f"{measured:,.0f} req/s",
            f"cached GET of REST: {yardstick:,.0f} req/s; constants of these sizes: {small:,.0f}, {constant:,.0f}",
            f"{100 * (measured / constant) / (yardstick / small):.0f} %", "≥ 80 %",
        )  # fmt: skip


def bench_end_of_list(environment: BenchEnvironment, what: str, order: str) -> None:
    page = "query ($after: String, $before: String, $first: Int, $last: Int) {deals(orderBy: %s, after: $after"
    page = page % order + ", before: $before, first: $first, last: $last) {edges {cursor} nodes {id date}}}"

    def edges(**arguments: Any) -> list[Any]:
        found: list[Any] = environment.data(page, **arguments)["deals"]["edges"]
        assert len(found) == 100
        return found

    before_the_last = edges(last=100, before=edges(last=100)[0]["cursor"])[-1]["cursor"]
    after_the_first = edges(first=100, after=edges(first=100)[-1]["cursor"])[0]["cursor"]
    begin, end, end_backwards, begin_backwards = in_turns(
        several(lambda: edges(first=100)),
        several(lambda: edges(first=100, after=before_the_last)),
        several(lambda: edges(last=100)),
        several(lambda: edges(last=100, before=after_the_first)),
    )
    worst = max(end, end_backwards, begin_backwards)
    row(
        f"a page of {environment.rows:,} deals {what}: the last; backwards the last and the first",
        f"{ms(end)}; {ms(end_backwards)} and {ms(begin_backwards)}", f"the first: {ms(begin)}",
        f"{worst / begin:.1f}×", "≤ 2×",
    )  # fmt: skip


def bench_sums(environment: BenchEnvironment) -> None:
    everything = "{total dealCount quantity minTotal maxTotal averageTotal}"
    questions = {
        "dealStats by gem": "{dealStats(by: [GEM]) {gem {name} total dealCount averageTotal}}",
        "dealStats by month": f"{{dealStats(by: [MONTH], orderBy: DATE_ASC, limit: 100) {everything}}}",
        "dealStats by gem and month": f"{{dealStats(by: [GEM, MONTH], limit: 100) {everything}}}",
        "dealStats by customer and gem": f"{{dealStats(by: [CUSTOMER, GEM]) {everything}}}",
        "totalCount of a filter": '{deals(filter: {gem: {contains: "-2"}, total: {gte: 4500}}) {totalCount}}',
        "a dashboard": DASHBOARD,
    }
    for what, question in questions.items():
        yardstick, measured = in_turns(
            several(environment.count_deals, 3),
            several(lambda question=question: environment.data(question), 3),  # type: ignore[misc]
        )
        cost = environment.post(question, {}).json()["extensions"]["cost"]["requested"]
        row(
            f"{what} of {environment.rows:,} deals, uncached (cost {cost:,})", ms(measured),
            f"count(*) of them: {ms(yardstick)}", f"{measured / yardstick:.1f}×", "< 1 s",
        )  # fmt: skip
    constant, introspection = in_turns(
        several(lambda: environment.data("{__typename}")), several(lambda: environment.data(get_introspection_query()))
    )
    row("introspection, uncached", ms(introspection), f"{{__typename}}: {ms(constant)}", "", "< 1 s")


#: The operation of a typical page of a frontend.
DASHBOARD = """{
    topClients(limit: 10) {username spentMoney gems}
    months: dealStats(by: [MONTH], orderBy: DATE_ASC, limit: 100) {month total dealCount minTotal maxTotal}
    gems: dealStats(by: [GEM], limit: 100) {gem {name} total dealCount averageTotal}
    customers {nodes {username spentMoney dealCount} totalCount pageInfo {hasNextPage endCursor}}
    allGems: gems {nodes {name total buyerCount} totalCount pageInfo {hasNextPage endCursor}}
    deals(orderBy: DATE_DESC) {
        nodes {date total quantity customer {username} gem {name}} totalCount pageInfo {hasNextPage endCursor}
    }
}"""
