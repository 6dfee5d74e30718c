"""Can the process answer, and can the service."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from deals_api import cache
from deals_api.models import Upload


@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """The database answers too, and its tables are those of the code. Without the cache the service is slower only."""
    try:
        Upload.objects.current()
        if not _tables_are_up_to_date():
            return JsonResponse({"status": "migrations are not applied"}, status=503)
    except DatabaseError:
        return JsonResponse({"status": "no database"}, status=503)
    return JsonResponse({"status": "ok"} | ({} if cache.answers() else {"cache": "degraded"}))


def _tables_are_up_to_date() -> bool:
    """Asked until it is so once: tables do not go back while the code that made them runs."""
    if not _found:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        _found.append(True)
    return True


_found: list[bool] = []
