"""Settings of a service that reads any replica without a check, as common database routers do."""

from __future__ import annotations

import random
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from project.settings import *  # noqa: F403
from project.settings import REPLICAS as ALIASES

DATABASE_ROUTERS = ["tests.random_replica.RandomReplica"]
REPLICAS = []


class RandomReplica:
    """Reads rows of snapshots on a random replica."""

    def db_for_read(self, model: Any, **_hints: object) -> str:
        from deals_api.models import SnapshotRow

        return random.choice(ALIASES) if issubclass(model, SnapshotRow) else DEFAULT_DB_ALIAS  # noqa: S311

    def allow_relation(self, *_: object, **_hints: object) -> bool:
        return True
