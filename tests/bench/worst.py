"""The worst question that the budgets let through, over files that are hard in different ways.

Searched for among known bombs and among whatever chance makes of the schema, each in the largest size that is
not refused. The ten slowest are printed with their text.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import hypothesis
import psutil
from graphql import build_schema
from hypothesis import HealthCheck, Phase

from tests.bench.asking import RANKING
from tests.bench.bombs import bombs
from tests.bench.documents import Question, Words, questions
from tests.bench.files import SHAPES
from tests.bench.stage import Stage
from tests.bench.table import in_turns, ms, row, timed

SCHEMA: Final = build_schema(Path("graphql_schema/schema.graphql").read_text())
_SIZES: Final = (100, 60, 40, 25, 15, 8, 4, 2, 1)
_LISTED: Final = 10


class Asking(Protocol):
    """Where questions are asked: over HTTP on the stage, or in the process itself."""

    def post(self, query: str, variables: dict[str, Any], /) -> Any:
        """The response to a question that no cache knows."""

    def data(self, query: str, /) -> Any:
        """The data of its answer."""


@dataclass(frozen=True)
class Asked:
    """One question, and what it took."""

    shape: str
    text: str
    variables: dict[str, Any]
    seconds: float
    cost: int
    refusal: str

    def __str__(self) -> str:
        variables = json.dumps(self.variables, ensure_ascii=False)
        return f"{self.seconds:.2f} s, cost {self.cost:,}, {self.shape}{self.refusal and f', {self.refusal}'}\n" + (
            f"    {self.text[:1500]}\n    {variables[:500]}"
        )


def bench(stage: Stage, seconds: int) -> None:
    found: list[Asked] = []
    for shape in SHAPES:
        stage.show(shape)
        found += [largest(stage, shape, bomb) for bomb in bombs(words_of(stage))]
        for seed in count_until(time.monotonic() + seconds / len(SHAPES)):
            found += search(stage, shape, seed)
    slowest = sorted(found, key=lambda asked: -asked.seconds)[: 3 * _LISTED]
    again = sorted((repeated(stage, asked) for asked in slowest), key=lambda asked: -asked.seconds)
    worst = again[0]
    stage.show(worst.shape)
    yardstick, wall, processors = in_turns(
        lambda: timed(stage.count_of_deals),
        lambda: timed(lambda: stage.post(worst.text, worst.variables)),
        lambda: processor_seconds(stage, worst),
    )
    row(
        f"the worst of {len(found):,} questions about {stage.rows:,} deals (cost {worst.cost:,})",
        f"{ms(wall)}; {ms(processors)} of all processors", f"count(*) of them: {ms(yardstick)}",
        f"{wall / yardstick:.0f}×", "< 1 s",
    )  # fmt: skip
    bench_meanwhile(stage, worst)
    failed = [asked for asked in found if "internal_error" in asked.refusal]
    print(f"\n{len(failed)} failed; the {_LISTED} slowest, median of 5:\n")
    for asked in [*again[:_LISTED], *failed[:_LISTED]]:
        print(asked, end="\n\n")


def words_of(asking: Asking) -> Words:
    """Names, moments and ids of the file that is shown."""
    rows = asking.data(
        """{
            customers(first: 10) {nodes {id username}} poor: customers(last: 10) {nodes {id username}}
            gems(first: 10) {nodes {id name}}
            deals(first: 1) {nodes {id date}} late: deals(last: 1) {nodes {date}} currentUpload {id}
        }"""
    )
    customers = [*rows["customers"]["nodes"], *rows["poor"]["nodes"]]
    usernames, gems = [one["username"] for one in customers], [one["name"] for one in rows["gems"]["nodes"]]
    first, last = rows["deals"]["nodes"][0], rows["late"]["nodes"][0]
    ids = [customers[0]["id"], rows["gems"]["nodes"][0]["id"], first["id"], rows["currentUpload"]["id"]]
    longest = max(usernames, key=len)
    half = len(longest) // 2
    start, quarter = longest[:half], longest[: half // 2]
    near = (f"x{start}", f"{start}x", f"{quarter}x{quarter}", f"{longest[:1]}x")
    return Words(
        names={"username": usernames, "customer": usernames, "name": gems, "gem": gems},
        moments=[first["date"], "2019-07-01T00:00:00Z", last["date"]],
        ids=ids,
        texts=("", "e", "а", "1", longest[:1], longest[:half], longest, *near, "x" * 255, "x" * 256),
    )


# The search


def search(asking: Asking, shape: str, seed: int, examples: int = 60) -> list[Asked]:
    """What chance finds in one run of Hypothesis, which goes on from what took longest in it."""
    found: list[Asked] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.target],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(questions(SCHEMA, words_of(asking)))
    def look(question: Question) -> None:
        asked = largest(asking, shape, question)
        found.append(asked)
        hypothesis.target(asked.seconds)

    look()
    return found


def count_until(end: float) -> Iterator[int]:
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1


def largest(asking: Asking, shape: str, question: Question) -> Asked:
    """The question in the largest size that the budgets let through; refused even as the smallest, it counts too."""
    for size in _SIZES if question.has_a_size else (1,):
        asked = ask(asking, shape, question.text, question.of_size(size))
        if not asked.refusal.startswith("limit_exceeded"):
            break
    return asked


def ask(asking: Asking, shape: str, text: str, variables: dict[str, Any]) -> Asked:
    begin = time.perf_counter()
    response = asking.post(text, variables)
    seconds = time.perf_counter() - begin
    answer = response.json()
    refusals = {error["extensions"]["code"] for error in answer.get("errors", [])}
    cost = answer.get("extensions", {}).get("cost", {}).get("requested", 0)
    return Asked(shape, text, variables, seconds, cost, " ".join(sorted(refusals)))


def repeated(stage: Stage, asked: Asked) -> Asked:
    """The same, timed as the median of five."""
    stage.show(asked.shape)
    times = [ask(stage, asked.shape, asked.text, asked.variables).seconds for _ in range(5)]
    return Asked(asked.shape, asked.text, asked.variables, statistics.median(times), asked.cost, asked.refusal)


def processor_seconds(stage: Stage, asked: Asked) -> float:
    """What the question takes of all processors, whoever else has them: of the service and of PostgreSQL."""
    before = processors_used(stage)
    stage.post(asked.text, asked.variables)
    return processors_used(stage) - before


def processors_used(stage: Stage) -> float:
    assert stage.postgres.process is not None
    postmaster = psutil.Process(stage.postgres.process.pid)
    ended = postmaster.cpu_times()
    running = [one.cpu_times() for one in (*stage.server.workers(), *postmaster.children())]
    return ended.children_user + ended.children_system + sum(one.user + one.system for one in running)


# The others


def bench_meanwhile(stage: Stage, worst: Asked) -> None:
    """Whether others are answered while the worst question is worked on, again and again."""
    quiet = latency(stage)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            stage.post(worst.text, worst.variables)

    thread = threading.Thread(target=work)
    thread.start()
    meanwhile = latency(stage)
    stop.set()
    thread.join()
    row(
        "cached GET of REST while the worst question is worked on", ms(meanwhile), f"while nothing is: {ms(quiet)}",
        f"{meanwhile / quiet:.1f}×", "< 100 ms",
    )  # fmt: skip


def latency(stage: Stage) -> float:
    """The median of many, from new connections, so that they reach any process."""
    return statistics.median(timed(lambda: stage.server.get(RANKING)) for _ in range(60))
