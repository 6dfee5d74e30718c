"""Health checks: liveness of the process, readiness of the service."""

from __future__ import annotations

from typing import Any

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from deals_api.caching.shared import is_available
from deals_api.db_vendor import is_temporary
from deals_api.models import Upload
from deals_api.schema_check import SchemaMismatch, require_matching_schema_once
from deals_api.snapshots.replica_monitor import ReplicaStatus
from deals_api.snapshots.replicas import statuses


@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    """Liveness: the process responds."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Readiness: the database responds and its tables match the code.

    Without Redis or replicas the service is ready, but slower.
    """
    try:
        require_matching_schema_once()
        Upload.objects.current()
        replicas = [_describe(status) for status in statuses()]
    except SchemaMismatch as mismatch:
        return JsonResponse({"status": "tables do not match", "detail": str(mismatch)}, status=503)
    except Error as error:
        return JsonResponse({"status": "no database" if is_temporary(error) else "tables do not match"}, status=503)
    cache = {} if is_available() else {"cache": "degraded"}
    return JsonResponse({"status": "ok"} | cache | ({"replicas": replicas} if replicas else {}))


def _describe(replica: ReplicaStatus) -> dict[str, Any]:
    if not replica.is_available:
        return {"name": replica.name, "status": "unavailable"}
    lag = {"lag_bytes": replica.lag_bytes, "lag_seconds": replica.lag_seconds}
    return {"name": replica.name, "status": "ok", **lag}
