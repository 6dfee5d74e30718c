"""Jobs: rows of work that tasks of django-tasks do, at least once, whenever a worker is killed.

A job and its task are created in one transaction. The database backend of django-tasks runs a task at most once: if
the worker is killed, the task stays RUNNING. Hence unfinished jobs without a waiting task get a new one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeVar

from django.db import models, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone
from django_tasks import TaskResultStatus
from django_tasks.base import Task
from django_tasks_db.models import DBTaskResult

from deals_api.models import Job

J = TypeVar("J", bound=Job)

#: Longer than any task takes to begin the work of its job, or to finish it if that is short.
LOST_AFTER_SECONDS: Final = 30
#: Finished tasks are kept for this time, for operators who look for an error.
_TASK_RETENTION: Final = timedelta(days=1)


def enqueue(job: Job, task: Task[[str], None], delay: float = 0) -> None:
    """Enqueue the task of a job, whose argument is the primary key of the job; call it in a transaction."""
    run_after = timezone.now() + timedelta(seconds=delay) if delay else None
    job.task_id = task.using(run_after=run_after).enqueue(str(job.pk)).id
    job.due_at = Now() + timedelta(seconds=delay)
    job.save(update_fields=["task_id", "due_at"])


def enqueue_lost(jobs: models.QuerySet[J], task: Task[[str], None]) -> None:
    """Enqueue the tasks of those unfinished jobs whose worker was killed or whose task failed."""
    waiting = DBTaskResult.objects.filter(pk=OuterRef("task_id"), status=TaskResultStatus.READY)
    lost = jobs.filter(~Exists(waiting), due_at__lt=Now() - timedelta(seconds=LOST_AFTER_SECONDS))
    if not lost.exists():
        return
    with transaction.atomic():
        for job in lost.select_for_update(skip_locked=True):
            enqueue(job, task)


def delete_old_tasks() -> None:
    """Delete finished tasks, and those whose worker was killed."""
    DBTaskResult.objects.exclude(status=TaskResultStatus.READY).filter(
        started_at__lt=timezone.now() - _TASK_RETENTION
    ).delete()
