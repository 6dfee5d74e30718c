"""Can the process answer, and can the service."""

from __future__ import annotations

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from deals_api.caching.shared import is_available
from deals_api.db_vendor import is_temporary
from deals_api.models import Upload
from deals_api.schema_check import SchemaMismatch, require_matching_schema


@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """The database answers too, and its tables are those of the code. Without the cache the service is slower only."""
    try:
        _check_schema_once()
        Upload.objects.current()
    except SchemaMismatch as mismatch:
        return JsonResponse({"status": "tables do not match", "detail": str(mismatch)}, status=503)
    except Error as error:
        return JsonResponse({"status": "no database" if is_temporary(error) else "tables do not match"}, status=503)
    return JsonResponse({"status": "ok"} | ({} if is_available() else {"cache": "degraded"}))


def _check_schema_once() -> None:
    """Until it has passed once: the tables do not change while the code that made them runs.

    Raises: SchemaMismatch.
    """
    if not _passed:
        require_matching_schema()
        _passed.append(True)


_passed: list[bool] = []
