"""Search for the GraphQL operations that take the most CPU time per node, the unit of cost.

The candidates are handwritten expensive queries and queries generated from the schema, over datasets that are
expensive in different ways. Each query is sent with the largest page size that the limits accept, and with pages of
one row. Every document is new, so its CPU time includes parsing and validation.

CPU time is that of the processes of the service and of PostgreSQL; SQLite runs in the service. It depends on the
machine, but hardly on its load. Documents rejected before execution have no cost and are excluded; the limits of bytes
and tokens bound their size.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import hypothesis
from graphql import build_schema
from hypothesis import HealthCheck, Phase

from tests.bench.documents import Query, SampleValues, random_queries
from tests.bench.environment import BenchEnvironment
from tests.bench.expensive_queries import expensive_queries
from tests.bench.rest import TOP_CLIENTS
from tests.bench.table import interleaved_medians, ms, print_row, timed

SCHEMA: Final = build_schema(Path("graphql_schema/schema.graphql").read_text())
#: The first one is accepted by ``dealStats`` only.
_PAGE_SIZES: Final = (1_000, 100, 40, 15, 4, 1)
_LISTED: Final = 20
_REPETITIONS: Final = 5


class Client(Protocol):
    """A client of the service that measures CPU time."""

    def post(self, query: str, variables: dict[str, Any], /) -> Any:
        """Return the response, which is computed and not cached."""

    def data(self, query: str, /) -> Any:
        """Return the data of the response."""

    def cpu_seconds(self) -> float:
        """Return the total CPU time of the service and the database."""


@dataclass(frozen=True)
class Measurement:
    """CPU time and cost of one executed operation."""

    dataset: str
    query: str
    variables: dict[str, Any]
    cpu_seconds: float
    cost: int
    error_codes: str

    @property
    def microseconds_per_node(self) -> float:
        return 1e6 * self.cpu_seconds / self.cost if self.cost else 0.0

    def __str__(self) -> str:
        variables = json.dumps(self.variables, ensure_ascii=False)
        return (
            f"{self.microseconds_per_node:.0f} µs/node, {1000 * self.cpu_seconds:.1f} ms, cost {self.cost:,}, "
            f"{self.dataset} {self.error_codes}\n    {self.query[:1500]}\n    {variables[:500]}"
        )


def bench(environment: BenchEnvironment, seconds: int, datasets: list[str]) -> None:
    measurements: list[Measurement] = []
    for dataset in datasets:
        environment.activate(dataset)
        for query in expensive_queries(sample_values(environment)):
            measurements += measure_sizes(environment, dataset, query)
        for seed in count_until(time.monotonic() + seconds / len(datasets)):
            measurements += search(environment, dataset, seed)
        highest = max(measurements, key=lambda measurement: measurement.microseconds_per_node)
        print(f"{len(measurements):,} operations until the end of “{dataset}”; the highest: {highest}", file=sys.stderr)
    ranked = repeat_highest(environment, measurements)
    highest = ranked[0]
    print_row(
        f"highest CPU per node among {len(measurements):,} operations over {environment.rows:,} deals",
        f"{highest.microseconds_per_node:.0f} µs; cost {highest.cost:,}, {ms(highest.cpu_seconds)} of CPU",
        "", "", "≤ 100 µs",
    )  # fmt: skip
    slowest = max(ranked, key=lambda measurement: measurement.cpu_seconds)
    bench_slowest(environment, slowest)
    failed = [measurement for measurement in measurements if "internal_error" in measurement.error_codes]
    print(f"\n{len(failed)} failed; the {_LISTED} highest, each the minimum of {_REPETITIONS} repetitions:\n")
    for measurement in [*ranked[:_LISTED], *failed[:_LISTED]]:
        print(measurement, end="\n\n")


def sample_values(client: Client) -> SampleValues:
    """Return names, dates and ids of the current upload."""
    data = client.data(
        """{
            customers(first: 10) {nodes {id username}} poorest: customers(last: 10) {nodes {id username}}
            gems(first: 10) {nodes {id name}}
            deals(first: 1) {nodes {id date}} latest: deals(last: 1) {nodes {date}} currentUpload {id}
            uploads(first: 3) {nodes {id state}}
        }"""
    )
    customers = [*data["customers"]["nodes"], *data["poorest"]["nodes"]]
    usernames = [customer["username"] for customer in customers]
    gems = [gem["name"] for gem in data["gems"]["nodes"]]
    first, last = data["deals"]["nodes"][0], data["latest"]["nodes"][0]
    longest = max(usernames, key=len)
    half, quarter = longest[: len(longest) // 2], longest[: len(longest) // 4]
    near_misses = (f"x{half}", f"{half}x", f"{quarter}x{quarter}", f"{longest[:1]}x")
    return SampleValues(
        names={
            **dict.fromkeys(("username", "customer", "boughtBy"), usernames),
            **dict.fromkeys(("name", "gem", "boughtGem"), gems),
        },
        dates=[first["date"], "2019-07-01T00:00:00Z", last["date"]],
        ids=[customers[0]["id"], data["gems"]["nodes"][0]["id"], first["id"], data["currentUpload"]["id"]],
        uploads=[upload["id"] for upload in data["uploads"]["nodes"] if upload["state"] == "LOADED"],
        substrings=("", "e", "а", "1", longest[:1], half, longest, *near_misses, "x" * 255, "x" * 256, longest.upper()),
    )


# The search


def search(client: Client, dataset: str, seed: int, examples: int = 60) -> list[Measurement]:
    """Measure generated queries; Hypothesis varies those with the highest CPU time per node."""
    measurements: list[Measurement] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.target],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(random_queries(SCHEMA, sample_values(client)))
    def examine(query: Query) -> None:
        sizes = measure_sizes(client, dataset, query)
        measurements.extend(sizes)
        hypothesis.target(max(measurement.microseconds_per_node for measurement in sizes))

    examine()
    return measurements


def count_until(deadline: float) -> Iterator[int]:
    number = 0
    while time.monotonic() < deadline:
        yield number
        number += 1


def measure_sizes(client: Client, dataset: str, query: Query) -> list[Measurement]:
    """Measure the query with the largest page size that the limits accept, and with pages of one row."""
    largest = measure_largest(client, dataset, query)
    if not query.has_page_size:
        return [largest]
    return [largest, measure(client, dataset, query.text, query.with_page_size(1))]


def measure_largest(client: Client, dataset: str, query: Query) -> Measurement:
    for size in _PAGE_SIZES if query.has_page_size else (1,):
        measurement = measure(client, dataset, query.text, query.with_page_size(size))
        if "limit_exceeded" not in measurement.error_codes:
            break
    return measurement


def measure(client: Client, dataset: str, query: str, variables: dict[str, Any]) -> Measurement:
    before = client.cpu_seconds()
    response = client.post(query, variables)
    seconds = client.cpu_seconds() - before
    body = response.json()
    codes = {error["extensions"]["code"] for error in body.get("errors", [])}
    cost = body.get("extensions", {}).get("cost", {}).get("requested", 0)
    return Measurement(dataset, query, variables, seconds, cost, " ".join(sorted(codes)))


def repeat_highest(environment: BenchEnvironment, measurements: list[Measurement]) -> list[Measurement]:
    """Return the highest ones, each with the minimum of several repetitions, because other processes disturb caches."""
    highest = sorted(measurements, key=lambda measurement: -measurement.microseconds_per_node)[: 3 * _LISTED]
    by_dataset = sorted(highest, key=lambda measurement: measurement.dataset)
    repeated = [repeat(environment, measurement) for measurement in by_dataset]
    return sorted(repeated, key=lambda measurement: -measurement.microseconds_per_node)


def repeat(environment: BenchEnvironment, measurement: Measurement) -> Measurement:
    environment.activate(measurement.dataset)
    times = [
        measure(environment, measurement.dataset, measurement.query, measurement.variables).cpu_seconds
        for _ in range(_REPETITIONS)
    ]
    return replace(measurement, cpu_seconds=min(times))


# The slowest


def bench_slowest(environment: BenchEnvironment, slowest: Measurement) -> None:
    environment.activate(slowest.dataset)
    baseline, result = interleaved_medians(
        lambda: timed(environment.count_deals),
        lambda: timed(lambda: environment.post(slowest.query, slowest.variables)),
    )
    print_row(
        f"slowest of these operations, over {environment.count_deals():,} deals (cost {slowest.cost:,})",
        f"{ms(result)}; {ms(slowest.cpu_seconds)} of CPU", f"`count(*)` of the same deals: {ms(baseline)}",
        f"{result / baseline:.0f}×", "< 1 s",
    )  # fmt: skip
    bench_concurrent_reads(environment, slowest)


def bench_concurrent_reads(environment: BenchEnvironment, slowest: Measurement) -> None:
    """Measure the latency of cached responses while the slowest operation is executed repeatedly."""
    idle = latency(environment)
    stop = threading.Event()

    def repeat_slowest() -> None:
        while not stop.is_set():
            environment.post(slowest.query, slowest.variables)

    thread = threading.Thread(target=repeat_slowest)
    thread.start()
    loaded = latency(environment)
    stop.set()
    thread.join()
    print_row(
        "cached GET of REST during the slowest operation", ms(loaded), f"on an idle service: {ms(idle)}",
        f"{loaded / idle:.1f}×", "< 100 ms",
    )  # fmt: skip


def latency(environment: BenchEnvironment) -> float:
    """Return the median time of many requests on new connections, which reach all worker processes."""
    return statistics.median(timed(lambda: environment.server.get(TOP_CLIENTS)) for _ in range(60))
