"""Webhook: a signed message to ``WEBHOOK_URL`` whenever another upload becomes current.

The delivery and its task are created in the transaction that moves the pointer, so there is a message for every change
and for no other. Headers and signature are those of https://www.standardwebhooks.com, for which receivers have
libraries. A message is sent at least once; ``webhook-id`` identifies duplicates.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django_tasks import task

from deals_api import jobs
from deals_api.formats import dump_json
from deals_api.global_ids import write_upload_id
from deals_api.models import Upload, WebhookDelivery
from deals_api.webhook_signature import sign

log = logging.getLogger(__name__)

#: Seconds before each repetition of a failed delivery: the schedule of Standard Webhooks.
RETRY_DELAYS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000)
#: Of the connection, and of each read of the response.
_TIMEOUT_SECONDS: Final = 10
_MAX_ERROR_LENGTH: Final = 500
_PENDING: Final = {"delivered_at": None, "attempts__lte": len(RETRY_DELAYS)}


def announce(upload: Upload) -> None:
    """Send a message that this upload is current; call it in the transaction that moves the pointer."""
    if not settings.WEBHOOK_URL:
        return
    message = {
        "type": "upload.current",
        "timestamp": timezone.now().isoformat(),
        "data": {
            "id": write_upload_id(upload.snapshot),
            "fileName": upload.file_name,
            "sha256": upload.sha256,
            "dealCount": upload.deal_count,
            "customerCount": upload.customer_count,
            "gemCount": upload.gem_count,
        },
    }
    delivery = WebhookDelivery.objects.create(upload=upload, payload=dump_json(message).decode())
    jobs.enqueue(delivery, deliver)


def enqueue_lost() -> None:
    """Enqueue the deliveries of killed workers again."""
    if settings.WEBHOOK_URL:
        jobs.enqueue_lost(WebhookDelivery.objects.filter(**_PENDING), deliver)


@task()
def deliver(delivery_id: str) -> None:
    """Send a message once, and schedule its repetition if that fails."""
    delivery = WebhookDelivery.objects.filter(pk=delivery_id, **_PENDING).first()
    if delivery is None:
        return
    delivery.status_code, delivery.error = _send(delivery)
    is_delivered = delivery.status_code is not None and 200 <= delivery.status_code < 300
    with transaction.atomic():
        delivery.attempts = F("attempts") + 1
        delivery.delivered_at = Now() if is_delivered else None
        delivery.save(update_fields=["attempts", "status_code", "error", "delivered_at"])
        delivery.refresh_from_db(fields=["attempts"])
        if not is_delivered and delivery.attempts <= len(RETRY_DELAYS):
            jobs.enqueue(delivery, deliver, RETRY_DELAYS[delivery.attempts - 1])
    log.info("Webhook %s: status %s. %s", delivery.pk, delivery.status_code, delivery.error)


def _send(delivery: WebhookDelivery) -> tuple[int | None, str]:
    """Return the status of the response, None without a response, and the error, empty if there is none."""
    import urllib3  # by workers only

    body, timestamp = delivery.payload.encode(), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "deals-webhook",
        "webhook-id": str(delivery.pk),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(settings.WEBHOOK_SECRET, str(delivery.pk), timestamp, body),
    }
    try:
        with urllib3.PoolManager(timeout=_TIMEOUT_SECONDS, retries=False) as client:
            response = client.request(
                "POST", settings.WEBHOOK_URL, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                return response.status, "" if 200 <= response.status < 300 else str(response.reason or "")
            finally:
                response.close()  # the body is not read
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return None, str(error)[:_MAX_ERROR_LENGTH]
