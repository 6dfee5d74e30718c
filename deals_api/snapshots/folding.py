"""Folded names of uploads that a process of the previous release loaded during an upgrade."""

from __future__ import annotations

import logging
from itertools import islice
from typing import Any, Final

from django.db.models import QuerySet

from deals_api.db_vendor import update_column
from deals_api.models import Customer, Gem, Upload
from deals_api.names import fold_name

log = logging.getLogger(__name__)

#: Names that one statement updates.
_BATCH_NAMES: Final = 10_000


def ensure_names_folded(upload: Upload) -> None:
    """Store the folded names of an upload, unless they are stored.

    Each statement is a transaction of its own, so that a later call continues after a failure.
    """
    if upload.names_folded:
        return
    log.info("The names of upload %s are being folded.", upload.pk)
    upload.customer_characters = _fold(Customer.objects.for_upload(upload), "username")
    upload.gem_characters = _fold(Gem.objects.for_upload(upload), "name")
    upload.names_folded = True
    Upload.objects.matching(upload).update(
        customer_characters=upload.customer_characters, gem_characters=upload.gem_characters, names_folded=True
    )


def _fold(rows: QuerySet[Any], column: str) -> int:
    """Store the folded names of rows; return the total length of all names, each in its longer form."""
    characters, missing = 0, []
    for pk, name, stored in rows.order_by("pk").values_list("pk", column, f"{column}_folded"):
        folded = fold_name(name)
        characters += max(len(name), len(folded))
        if stored != folded:
            missing.append((pk, folded))
    changes = iter(missing)
    while batch := list(islice(changes, _BATCH_NAMES)):
        update_column(rows.model, f"{column}_folded", batch)
    return characters
