"""Model check: concurrent uploads, roll-backs, retention and reads, with every response checked for consistency."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import long_form
from tests.builders import csv_of, deal
from tests.history import History, Operation
from tests.servers import NO_TLS, TIMEOUT, Server, serving

#: Duration of the model check.
SECONDS = long_form.SECONDS or 6.0

MIN_WRITES = 5

READ = "{ topClients { username spentMoney gems } currentUpload { dealCount } deals { totalCount } }"
UPLOADS = "{ uploads(first: 8) { nodes { id fileName state } } }"
ACTIVATE = "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }"


# The checker itself


def op(value: str, sent: float, received: float) -> Operation:
    return Operation(value, sent, received)


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
def test_possible_history_has_no_violation(writes: list[Operation], reads: list[Operation]) -> None:
    assert History(writes, reads).violations() == []


@pytest.mark.parametrize(
    ("writes", "reads", "violation"),
    [
        ([op("a", 0, 1)], [op("b", 2, 3)], "never written"),
        ([op("a", 0, 1), op("b", 2, 3)], [op("a", 4, 5)], "overwritten"),
        ([op("a", 0, 1), op("b", 6, 7)], [op("b", 4, 5)], "not sent yet"),
        ([op("a", 0, 1), op("b", 2, 9)], [op("b", 3, 4), op("a", 5, 6)], "older than"),
    ],
)
def test_impossible_history_has_a_violation(writes: list[Operation], reads: list[Operation], violation: str) -> None:
    (message,) = History(writes, reads).violations()
    assert violation in message


# The service


class Clients:
    """Concurrent clients of one server, and the history that they observed."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.history = History()
        self.done = threading.Event()
        self.numbers = itertools.count()
        self.rejected_roll_backs = 0
        #: Number of 503 responses: uploads replaced each other faster than one could be read.
        self.busy = 0

    def run(self, *actions: Callable[[httpx.Client, random.Random], None], min_reads: int = 0) -> None:
        with ThreadPoolExecutor(len(actions)) as pool:
            running = [pool.submit(self.repeat, action, seed) for seed, action in enumerate(actions)]
            started = time.monotonic()
            while not any(future.done() for future in running):
                time.sleep(0.1)
                passed = time.monotonic() - started
                # A busy machine needs more time for a history that can show a violation.
                is_long = len(self.history.writes) > MIN_WRITES and len(self.history.reads) >= min_reads
                if passed > SECONDS and (is_long or passed > max(TIMEOUT, 10 * SECONDS)):
                    break
            self.done.set()
            for future in running:
                future.result()

    def repeat(self, action: Callable[[httpx.Client, random.Random], None], seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311
        with httpx.Client(base_url=self.url, timeout=TIMEOUT, verify=NO_TLS) as client:
            while not self.done.is_set():
                action(client, rng)

    def upload(self, client: httpx.Client, rng: random.Random) -> None:
        """Upload a file whose customer, total and gem contain its number, so that mixed responses are detected."""
        number = next(self.numbers) + 1
        rows = rng.choice([1, 1, 1, 10, 2000])
        content = csv_of(*(deal(f"c{number}", f"g{number}", str(number)) for _ in range(rows)))
        sent = time.monotonic()
        response = client.post("/api/upload/", files={"deals": (f"{number}-{rows}", content)})
        assert (response.status_code, response.text) == (200, '{"Status":"OK"}')
        self.history.writes.append(Operation(f"{number}-{rows}", sent, time.monotonic()))

    def upload_invalid(self, client: httpx.Client, rng: random.Random) -> None:
        rows = [deal(total="1")] * rng.choice([1, 3000])
        response = client.post("/api/upload/", files={"deals": ("invalid", csv_of(*rows, deal(total="x")))})
        assert response.status_code == 400
        time.sleep(0.02)

    def roll_back(self, client: httpx.Client, rng: random.Random) -> None:
        uploads = self.execute(client, UPLOADS)["uploads"]["nodes"]
        loaded = [upload for upload in uploads if upload["state"] in ("LOADED", "PRUNED")]
        if not loaded:
            return
        chosen = rng.choice(loaded)
        sent = time.monotonic()
        *busy, last = self.send(client, ACTIVATE, id=chosen["id"])
        is_activated = self.data_of(last)["activateUpload"]["__typename"] == "UploadActivated"
        # The response is a 503 if the activated upload was replaced and pruned before the response was checked.
        if is_activated or busy:
            self.history.writes.append(Operation(chosen["fileName"], sent, time.monotonic()))
        else:
            self.rejected_roll_backs += 1
        time.sleep(rng.random() * 0.1)

    def read_rest(self, client: httpx.Client, rng: random.Random) -> None:
        sent = time.monotonic()
        response = client.get(self.top_clients_path())
        received = time.monotonic()
        if self.is_busy(response):
            return
        customers = response.json()["response"]
        if self.is_empty(customers, sent):
            return
        (customer,) = customers
        number = int(customer["username"][1:])
        rows, remainder = divmod(customer["spent_money"], number)
        assert remainder == 0, customer
        self.history.reads.append(Operation(f"{number}-{int(rows)}", sent, received))

    def read_graphql(self, client: httpx.Client, rng: random.Random) -> None:
        sent = time.monotonic()
        response = client.post("/graphql/", json={"query": self.document()})
        received = time.monotonic()
        if self.is_busy(response):
            return
        data = self.data_of(response)
        if self.is_empty(data["topClients"], sent):
            return
        (customer,) = data["topClients"]
        number, rows = int(customer["username"][1:]), data["currentUpload"]["dealCount"]
        assert customer["spentMoney"] == str(number * rows)
        assert data["deals"]["totalCount"] == rows
        self.history.reads.append(Operation(f"{number}-{rows}", sent, received))

    def top_clients_path(self) -> str:
        return "/api/top-clients/"

    def document(self) -> str:
        return READ

    def is_empty(self, customers: list[Any], sent: float) -> bool:
        """Return whether a response has no customers, which is possible only before the first upload has ended."""
        if not customers:
            assert all(write.received >= sent for write in list(self.history.writes))
        return not customers

    def is_busy(self, response: httpx.Response) -> bool:
        if response.status_code != 503:
            return False
        assert int(response.headers["Retry-After"]) > 0
        self.busy += 1
        return True

    def execute(self, client: httpx.Client, query: str, **variables: Any) -> Any:
        return self.data_of(self.send(client, query, **variables)[-1])

    def send(self, client: httpx.Client, query: str, **variables: Any) -> list[httpx.Response]:
        """Return all responses; the request is repeated while the service is busy."""
        body = {"query": query, "variables": variables}
        responses = [client.post("/graphql/", json=body)]
        while self.is_busy(responses[-1]):
            time.sleep(0.1)
            responses.append(client.post("/graphql/", json=body))
        return responses

    @staticmethod
    def data_of(response: httpx.Response) -> Any:
        assert response.status_code == 200, response.text
        body = response.json()
        assert "errors" not in body, body
        return body["data"]


def test_every_response_is_of_one_upload_and_never_stale(
    tmp_path: Path, environment: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    with serving(
        tmp_path, **environment, WEB_WORKERS="3", WEB_THREADS="4", KEEP_UPLOADS="2", UPLOADS_PER_MINUTE="0",
        COMPUTATIONS_PER_MINUTE="0",
    ) as server:  # fmt: skip
        clients = Clients(server)
        clients.run(
            clients.upload, clients.upload, clients.upload_invalid, clients.roll_back,
            clients.read_rest, clients.read_rest, clients.read_graphql, clients.read_graphql,
        )  # fmt: skip
        log = server.log.read_text()
    history = clients.history
    assert history.violations() == []
    assert len(history.writes) > MIN_WRITES
    assert len(history.reads) > 100
    assert clients.busy <= len(history.reads) / 20
    record_property("history", f"{len(history.writes)} writes, {len(history.reads)} reads")
    assert "Traceback" not in log
