"""Change lists of snapshots: the selected upload, the search by prefix, and fast pagination of millions of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from deals_api.models import Upload, row_number_of
from deals_api.reports.filters import NameFilter

#: Maximum number of rows in a filtered list, because counting a million rows takes seconds.
MAX_FILTERED_ROWS: Final = 10_000


class AtLeast(int):
    """A count that stopped at its limit."""

    def __str__(self) -> str:
        return f"{int(self)} or more"


class FilteredPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable at run time
    """Pages of a filtered list, which is counted up to ``MAX_FILTERED_ROWS``."""

    object_list: Any

    @cached_property
    def count(self) -> int:
        count: int = self.object_list.order_by()[: MAX_FILTERED_ROWS + 1].count()
        return count if count <= MAX_FILTERED_ROWS else AtLeast(MAX_FILTERED_ROWS)


class SnapshotPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of all rows of one model in one upload.

    The row numbers in the primary keys have no gaps, so the last number is the count. In the order of the primary key,
    a page is a range of row numbers, which is read equally fast at any depth.
    """

    object_list: Any

    def __init__(self, rows: QuerySet[Any], per_page: int, upload: Upload) -> None:
        super().__init__(rows, per_page)
        self.upload = upload

    @cached_property
    def count(self) -> int:
        last = self.object_list.model.objects.in_pk_range(self.upload).order_by("pk").only("pk").last()
        return row_number_of(last.pk) if last else 0

    def page(self, number: int | str) -> Page[Any]:
        if self.object_list.query.order_by != ("id",):
            return super().page(number)
        number = self.validate_number(number)
        start = (number - 1) * self.per_page + 1
        rows = self.object_list.model.objects.rows_between(self.upload, start, start + self.per_page).order_by("pk")
        rows.query.select_related = self.object_list.query.select_related
        return Page(rows, number, self)


def get_listed_upload(request: HttpRequest) -> Upload | None:
    """Return the upload in the query string, or the current one; None before the first upload.

    The upload is read once per request, so that all parts of a page show the same upload.

    Raises: IncorrectLookupParameters, if the rows of this upload are not retained.
    """
    if not hasattr(request, "listed_upload"):
        pk = request.GET.get(UploadFilter.parameter_name)
        request.listed_upload = Upload.objects.current() if pk is None else _get_readable(request, pk)  # type: ignore[attr-defined]
    return request.listed_upload  # type: ignore[attr-defined, no-any-return]


def _get_readable(request: HttpRequest, pk: str) -> Upload:
    try:
        return Upload.objects.readable().get(pk=pk)
    except (Upload.DoesNotExist, ValueError) as error:
        messages.warning(request, "The rows of this upload are not retained. The current upload is shown.")
        raise IncorrectLookupParameters from error


class UploadFilter(admin.SimpleListFilter):
    """Select the current upload or another retained one; ``SnapshotAdmin.get_queryset`` applies the filter."""

    title = parameter_name = "upload"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(upload.pk, f"{upload.pk} {upload.file_name}") for upload in Upload.objects.readable().order_by("-pk")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        default, *others = super().choices(changelist)
        yield {**default, "display": "current"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


def prefix_filter(field: str, text: str) -> Q:
    """Match names that start with this text, case-sensitively, by an index on every database."""
    return NameFilter(starts_with=text.strip()).condition(field).q
