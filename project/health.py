"""Health checks: liveness of the process, readiness of the service."""

from __future__ import annotations

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from deals_api.caching.shared import is_available
from deals_api.db_vendor import is_temporary
from deals_api.models import Upload
from deals_api.schema_check import SchemaMismatch, require_matching_schema_once


@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    """Liveness: the process responds."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Readiness: the database responds and its tables match the code.

    Without Redis the service is ready, but slower.
    """
    try:
        require_matching_schema_once()
        Upload.objects.current()
    except SchemaMismatch as mismatch:
        return JsonResponse({"status": "tables do not match", "detail": str(mismatch)}, status=503)
    except Error as error:
        return JsonResponse({"status": "no database" if is_temporary(error) else "tables do not match"}, status=503)
    return JsonResponse({"status": "ok"} | ({} if is_available() else {"cache": "degraded"}))
