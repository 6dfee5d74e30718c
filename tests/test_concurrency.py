"""Uploads, roll-backs, prunings and reads at once, and every answer held against what may have happened."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.builders import csv_of, deal
from tests.history import History, Operation
from tests.servers import TIMEOUT, Server, serving

#: How long they go on; the long form takes DEALS_TEST_SECONDS.
SECONDS = float(os.environ.get("DEALS_TEST_SECONDS", "10"))

ENOUGH_WRITES = 5

READ = "{ topClients { username spentMoney gems } currentUpload { dealCount } deals { totalCount } }"
UPLOADS = "{ uploads(first: 8) { nodes { id fileName state } } }"
ACTIVATE = "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }"


# The checker itself


def op(value: str, sent: float, answered: float) -> Operation:
    return Operation(value, sent, answered)


@pytest.mark.parametrize(
    ("writes", "reads"),
    [
        ([op("a", 0, 1)], [op("a", 2, 3)]),
        ([op("a", 0, 1), op("b", 2, 5)], [op("a", 3, 4), op("b", 3, 4)]),
        ([op("a", 0, 1), op("b", 2, 3), op("a", 4, 5)], [op("a", 6, 7)]),
        ([op("a", 0, 5), op("b", 1, 4)], [op("a", 6, 7)]),
        ([op("a", 0, 5), op("b", 1, 4)], [op("b", 6, 7)]),
    ],
)
def test_a_history_that_may_have_been_is_not_complained_of(writes: list[Operation], reads: list[Operation]) -> None:
    assert History(writes, reads).impossible() == []


@pytest.mark.parametrize(
    ("writes", "reads", "complaint"),
    [
        ([op("a", 0, 1)], [op("b", 2, 3)], "nobody wrote"),
        ([op("a", 0, 1), op("b", 2, 3)], [op("a", 4, 5)], "overwritten"),
        ([op("a", 0, 1), op("b", 6, 7)], [op("b", 4, 5)], "nobody had sent yet"),
        ([op("a", 0, 1), op("b", 2, 9)], [op("b", 3, 4), op("a", 5, 6)], "went back"),
    ],
)
def test_a_history_that_cannot_have_been_is(writes: list[Operation], reads: list[Operation], complaint: str) -> None:
    (told,) = History(writes, reads).impossible()
    assert complaint in told


# The service


class Crowd:
    """Clients of one server, each at its own, and what they saw."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.history = History()
        self.done = threading.Event()
        self.numbers = itertools.count()
        self.refused = 0
        #: Reads that were asked to try again, because uploads replaced each other faster than one could be read.
        self.busy = 0

    def run(self, *clients: Callable[[httpx.Client, random.Random], None]) -> None:
        with ThreadPoolExecutor(len(clients)) as pool:
            running = [pool.submit(self.repeat, client, seed) for seed, client in enumerate(clients)]
            begun = time.monotonic()
            while not any(one.done() for one in running):
                time.sleep(0.1)
                passed = time.monotonic() - begun
                # A busy machine takes longer to have a history worth a look.
                if passed > SECONDS and (len(self.history.writes) > ENOUGH_WRITES or passed > TIMEOUT):
                    break
            self.done.set()
            for one in running:
                one.result()

    def repeat(self, client: Callable[[httpx.Client, random.Random], None], seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        with httpx.Client(base_url=self.url, timeout=TIMEOUT) as connection:
            while not self.done.is_set():
                client(connection, chance)

    def upload(self, client: httpx.Client, chance: random.Random) -> None:
        """Each file says its number in its client, its sum and its gem, so that a mixture would show."""
        number = next(self.numbers) + 1
        rows = chance.choice([1, 1, 1, 10, 2000])
        content = csv_of(*(deal(f"c{number}", f"g{number}", str(number)) for _ in range(rows)))
        sent = time.monotonic()
        answer = client.post("/api/upload/", files={"deals": (f"{number}-{rows}", content)})
        assert (answer.status_code, answer.text) == (200, '{"Status":"OK"}')
        self.history.writes.append(Operation(f"{number}-{rows}", sent, time.monotonic()))

    def upload_rubbish(self, client: httpx.Client, chance: random.Random) -> None:
        rows = [deal(total="1")] * chance.choice([1, 3000])
        answer = client.post("/api/upload/", files={"deals": ("rubbish", csv_of(*rows, deal(total="x")))})
        assert answer.status_code == 400
        time.sleep(0.02)

    def roll_back(self, client: httpx.Client, chance: random.Random) -> None:
        uploads = self.ask(client, UPLOADS)["uploads"]["nodes"]
        loaded = [one for one in uploads if one["state"] in ("LOADED", "PRUNED")]
        if not loaded:
            return
        chosen = chance.choice(loaded)
        sent = time.monotonic()
        outcome = self.ask(client, ACTIVATE, id=chosen["id"])["activateUpload"]["__typename"]
        if outcome == "UploadActivated":
            self.history.writes.append(Operation(chosen["fileName"], sent, time.monotonic()))
        else:
            self.refused += 1
        time.sleep(chance.random() * 0.1)

    def read_rest(self, client: httpx.Client, chance: random.Random) -> None:
        sent = time.monotonic()
        answer = client.get("/api/top-clients/")
        answered = time.monotonic()
        if self.told_to_wait(answer):
            return
        clients = answer.json()["response"]
        if clients:
            (one,) = clients
            number = int(one["username"][1:])
            rows, rest = divmod(one["spent_money"], number)
            assert rest == 0, one
            self.history.reads.append(Operation(f"{number}-{int(rows)}", sent, answered))

    def read_graphql(self, client: httpx.Client, chance: random.Random) -> None:
        sent = time.monotonic()
        answer = client.post("/graphql/", json={"query": READ})
        answered = time.monotonic()
        if self.told_to_wait(answer):
            return
        data = self.data_of(answer)
        if data["topClients"]:
            (one,) = data["topClients"]
            number, rows = int(one["username"][1:]), data["currentUpload"]["dealCount"]
            assert one["spentMoney"] == str(number * rows)
            assert data["deals"]["totalCount"] == rows
            self.history.reads.append(Operation(f"{number}-{rows}", sent, answered))

    def told_to_wait(self, answer: httpx.Response) -> bool:
        if answer.status_code != 503:
            return False
        assert int(answer.headers["Retry-After"]) > 0
        self.busy += 1
        return True

    def ask(self, client: httpx.Client, query: str, **variables: Any) -> Any:
        """The data of an answer; a service that is busy is asked again."""
        while True:
            answer = client.post("/graphql/", json={"query": query, "variables": variables})
            if not self.told_to_wait(answer):
                return self.data_of(answer)
            time.sleep(0.1)

    @staticmethod
    def data_of(answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert "errors" not in body, body
        return body["data"]


def test_every_answer_is_of_one_upload_and_never_of_the_past(
    tmp_path: Path, environment: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    with serving(
        tmp_path, **environment, WEB_WORKERS="3", WEB_THREADS="4", KEEP_UPLOADS="2", UPLOADS_PER_MINUTE="0",
        COMPUTATIONS_PER_MINUTE="0",
    ) as server:  # fmt: skip
        crowd = Crowd(server)
        crowd.run(
            crowd.upload, crowd.upload, crowd.upload_rubbish, crowd.roll_back,
            crowd.read_rest, crowd.read_rest, crowd.read_graphql, crowd.read_graphql,
        )  # fmt: skip
        log = server.log.read_text()
    history = crowd.history
    assert history.impossible() == []
    assert len(history.writes) > ENOUGH_WRITES
    assert len(history.reads) > 100
    assert crowd.busy <= len(history.reads) / 20
    record_property("history", f"{len(history.writes)} writes, {len(history.reads)} reads")
    assert "Traceback" not in log
