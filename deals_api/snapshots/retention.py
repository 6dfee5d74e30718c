"""Retention: which uploads keep their rows."""

from __future__ import annotations

import logging
from typing import Final

from django.db import DatabaseError, transaction
from django.db.models import Exists, Q

from deals_api.limits import Limits
from deals_api.models import Customer, Deal, Gem, GemDay, GemMonth, Purchase, Upload
from deals_api.snapshots.current import lock_pointer
from deals_api.snapshots.interruption import sweep_interrupted_uploads

log = logging.getLogger(__name__)

_DELETE_CHUNK_ROWS: Final = 20_000


def apply_retention(limits: Limits) -> None:
    """Mark interrupted uploads, and delete the rows of uploads that are no longer retained.

    Safe at any time, in several processes at once, and after a crash at any point.
    """
    sweep_interrupted_uploads()
    with transaction.atomic():
        lock_pointer()
        Upload.objects.beyond_retention(limits.keep_uploads).update(state=Upload.State.RETIRED)
    # New readers do not use these rows, and readers that still use them check Upload.is_readable afterwards.
    # A process of the previous release does not delete the sums by gem and period.
    has_gem_days = Q(state=Upload.State.PRUNED, gem_day_count__isnull=False)
    retired = Upload.objects.filter(Q(state=Upload.State.RETIRED) | has_gem_days)
    for upload in list(retired):
        # Each statement checks the state, because after a restore these ids may belong to readable rows.
        still_retired = Exists(retired.matching(upload))
        for first in range(0, upload.deal_count + 1, _DELETE_CHUNK_ROWS):
            for model in (Deal, Purchase, Customer, Gem, GemDay, GemMonth):
                model.objects.rows_between(upload, first, first + _DELETE_CHUNK_ROWS).filter(still_retired).delete()
        retired.matching(upload).update(
            state=Upload.State.PRUNED, purchase_count=None, gem_day_count=None, gem_month_count=None
        )


def apply_retention_safely(limits: Limits) -> None:
    """Apply retention, and only log a failure, because the next upload applies retention again."""
    try:
        apply_retention(limits)
    except DatabaseError as error:
        log.warning("Retention failed; the next upload applies it again: %s", error)
