"""Webhooks: one signed message for each change of the current upload, repeated until it is delivered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.test import Client
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from deals_api import webhooks
from deals_api.errors import DealsError, UploadChanged
from deals_api.ingest.queue import run_maintenance
from deals_api.ingest.service import ingest_deals
from deals_api.models import Upload, WebhookDelivery
from deals_api.snapshots import current as current_snapshot
from deals_api.webhook_signature import sign
from tests.builders import csv_of, deal, load
from tests.graphql import data, id_of
from tests.services import free_port
from tests.worker import run_tasks

pytestmark = pytest.mark.django_db

SECRET = bytes(range(32))


class Receiver:
    """An HTTP server that records the messages, and answers with ``status``."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.messages]


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=[0.01])
    thread.start()
    settings.WEBHOOK_URL, settings.WEBHOOK_SECRET = receiver.url, SECRET
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def current_ids(receiver: Receiver) -> list[str]:
    return [body["data"]["id"] for body in receiver.bodies()]


# Which changes are sent


def test_message_describes_the_new_current_upload(receiver: Receiver) -> None:
    upload = load(deal("ann", "ruby"), deal("bob", "ruby"), name="may.csv")
    assert receiver.messages == []  # the worker sends it
    run_tasks()
    (body,) = receiver.bodies()
    assert body["type"] == "upload.current"
    assert body["data"] == {
        "id": id_of(upload), "fileName": "may.csv", "sha256": upload.sha256,
        "dealCount": 2, "customerCount": 2, "gemCount": 1,
    }  # fmt: skip
    node = data("query ($id: ID!) {node(id: $id) {... on Upload {isCurrent}}}", id=body["data"]["id"])
    assert node == {"node": {"isCurrent": True}}


def test_every_change_is_sent_once_and_nothing_else(receiver: Receiver) -> None:
    first = load(deal("ann"))
    load(deal("ann"))  # a duplicate
    with pytest.raises(DealsError):
        load(deal(total="x"))
    second = load(deal("bob"))
    current_snapshot.activate(first.snapshot)
    current_snapshot.activate(first.snapshot)
    with pytest.raises(UploadChanged):
        ingest_deals(io.BytesIO(csv_of(deal("cid"))), "", is_expected=lambda current: current == second)
    run_tasks()
    run_maintenance()
    run_tasks()
    assert sorted(current_ids(receiver)) == sorted(map(id_of, [first, second, first]))


def test_upload_that_arrived_before_the_current_one_is_not_announced(receiver: Receiver) -> None:
    older = Upload.objects.create(file_name="f", sha256="0" * 64, size=1)
    newer = load(deal("bob"))
    with transaction.atomic():
        pointer = current_snapshot.lock_pointer()
        assert pointer.highest_upload_id > older.pk
    run_tasks()
    assert current_ids(receiver) == [id_of(newer)]


def test_nothing_is_recorded_without_a_url() -> None:
    load(deal())
    assert (WebhookDelivery.objects.count(), DBTaskResult.objects.count()) == (0, 0)


# Signature


@pytest.mark.database_independent
def test_signature_equals_the_published_example_of_standard_webhooks() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_message_is_signed_with_its_id_and_time(receiver: Receiver) -> None:
    load(deal())
    run_tasks()
    ((headers, body),) = receiver.messages
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    expected = hmac.new(SECRET, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert abs(int(timestamp) - time.time()) < 300
    assert headers["content-type"] == "application/json"
    assert message_id == str(WebhookDelivery.objects.get().pk)


# Failures


def make_due() -> None:
    """Let the time of all waiting tasks come."""
    DBTaskResult.objects.filter(status="READY").update(run_after=F("enqueued_at"))
    WebhookDelivery.objects.update(due_at=F("created_at") - timedelta(hours=1))


@pytest.mark.parametrize("status", [500, 404, 301])
def test_failed_delivery_is_repeated_until_it_succeeds(receiver: Receiver, status: int) -> None:
    receiver.status = status
    load(deal())
    run_tasks()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.attempts, delivery.status_code, delivery.delivered_at) == (1, status, None)
    assert delivery.error
    run_tasks()
    assert len(receiver.messages) == 1  # not yet, and a redirect is not followed
    receiver.status = 200
    make_due()
    run_tasks()
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.status_code, delivery.error) == (2, 200, "")
    assert delivery.delivered_at is not None
    assert {headers["webhook-id"] for headers, _ in receiver.messages} == {str(delivery.pk)}
    make_due()
    run_maintenance()
    run_tasks()
    assert len(receiver.messages) == 2


def test_delay_grows_and_deliveries_end_after_the_last_one(receiver: Receiver) -> None:
    receiver.status = 500
    load(deal())
    delays = []
    for _ in range(len(webhooks.RETRY_DELAYS) + 2):
        run_tasks()
        delays += [
            round((task.run_after - task.enqueued_at).total_seconds())
            for task in DBTaskResult.objects.filter(status="READY")
        ]
        make_due()
        run_maintenance()
    assert delays == list(webhooks.RETRY_DELAYS)
    assert len(receiver.messages) == len(webhooks.RETRY_DELAYS) + 1


def test_unreachable_receiver_is_an_error_of_the_delivery(receiver: Receiver, settings: Settings) -> None:
    settings.WEBHOOK_URL = f"http://127.0.0.1:{free_port()}/"
    load(deal())
    run_tasks()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.attempts, delivery.status_code) == (1, None)
    assert "refused" in delivery.error


def test_delivery_of_a_killed_worker_is_sent_by_another_one(receiver: Receiver) -> None:
    load(deal())
    DBTaskResult.objects.update(status="RUNNING")
    run_maintenance()
    run_tasks()
    assert receiver.messages == []  # the worker may still be sending it
    make_due()
    run_maintenance()
    run_tasks()
    assert len(receiver.messages) == 1


def test_delivery_that_is_sent_twice_has_the_same_id(receiver: Receiver) -> None:
    load(deal())
    delivery = WebhookDelivery.objects.get()
    webhooks.deliver.call(str(delivery.pk))
    webhooks.deliver.call(str(delivery.pk))
    assert len(receiver.messages) == 1
    WebhookDelivery.objects.update(delivered_at=None)  # the worker was killed before it recorded the success
    webhooks.deliver.call(str(delivery.pk))
    assert len({headers["webhook-id"] for headers, _ in receiver.messages}) == 1


def test_admin_lists_the_deliveries(receiver: Receiver) -> None:
    receiver.status = 503
    load(deal())
    run_tasks()
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    page = client.get("/admin/deals_api/webhookdelivery/")
    assert page.status_code == 200
    assert '<td class="field-status_code">503</td>' in page.content.decode()
    assert client.get("/admin/deals_api/webhookdelivery/add/").status_code == 403
