"""How the admin's lists open at once, however long they are.

Answers for which upload a page lists, for what narrows it, and for pages. No page counts the rows of
a million deals or walks past them: counts come from the sums that every upload stores, places in a
file are arithmetic on the primary key, and other orders are walked in their index from the nearer end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from deals_api.models import Customer, Deal, Gem, SnapshotRow, Upload

if TYPE_CHECKING:
    Pages = Paginator[Any]
else:
    Pages = Paginator

#: Where nothing stored tells how many rows there are, they are counted up to here.
COUNTED: Final = 10_000
#: Years that are offered to choose from, the last ones.
_YEARS: Final = 50
_PERIOD: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")
#: After every name that begins with the letters before it.
_AFTER_ALL_NAMES: Final = "\U0010ffff" * 255


# Pages


class AtLeast(int):
    """A count that was not taken to its end."""

    def __str__(self) -> str:
        return f"{int(self)} or more"


class SnapshotPaginator(Pages):
    """Pages of rows of one upload; their number is known beforehand, or they are counted up to a bound.

    ``whole`` says that the list has all rows of their kind.
    """

    object_list: Any

    def __init__(
        self, rows: QuerySet[Any], per_page: int, upload: Upload, known: int | None, *, whole: bool = False
    ) -> None:
        super().__init__(rows, per_page)
        self.upload = upload
        self.known = known
        self.whole = whole

    @cached_property
    def count(self) -> int:
        if self.known is not None:
            return self.known
        counted: int = self.object_list.order_by()[: COUNTED + 1].count()
        return counted if counted <= COUNTED else AtLeast(COUNTED)

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        return Page(self.rows(first, min(first + self.per_page, self.count)), number, self)

    def rows(self, first: int, beyond: int) -> list[Any]:
        """Those from ``first``, from 0, to before ``beyond``."""
        rows, order = self.object_list, self.object_list.query.order_by[0]
        if self.whole and order == "id":
            return list(rows.rows_between(self.upload, first + 1, beyond + 1))
        if self.whole and order == "-id":
            return list(rows.rows_between(self.upload, self.count - beyond + 1, self.count - first + 1))
        # The walk to a page reads ids alone: those of most orders are in the index, so it touches no rows.
        walk = rows.in_pk_range(self.upload) if order in ("id", "-id") else rows
        ids = walk.values_list("pk", flat=True)
        if self.known is not None and first > self.known // 2:
            ids = ids.reverse()[self.known - beyond : self.known - first]
        else:
            ids = ids[first:beyond]
        page = rows.model._default_manager.filter(pk__in=list(ids)).order_by(*rows.query.order_by)
        page.query.select_related = rows.query.select_related
        return list(page)  # what narrows the list is met already, and would only mislead the database


class SnapshotChangeList(ChangeList):
    """A list that is always read by its pages, and that no address sorts by what its headings do not offer."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:  # Django would read all rows as if there were few to look among
            self.result_list = self.paginator.page(1).object_list

    def get_ordering_field(self, field_name: Any) -> Any:
        offered: Sequence[Any] = self.sortable_by or ()
        return super().get_ordering_field(field_name) if field_name in offered else None


# What narrows a list


def cached_on_request(request: HttpRequest, name: str, read: Callable[[], Any]) -> Any:
    """What ``read`` returns, read once in a request."""
    remembered = vars(request)
    if name not in remembered:
        remembered[name] = read()
    return remembered[name]


def listed_upload(request: HttpRequest) -> Upload | None:
    """The upload whose rows a page lists: the one asked for, or the current one.

    Raises: IncorrectLookupParameters, where the rows of the one asked for are gone; the person is told.
    """
    upload: Upload | None = cached_on_request(request, "listed_upload", lambda: _find_upload(request))
    return upload


def _find_upload(request: HttpRequest) -> Upload | None:
    number = request.GET.get(UploadFilter.parameter_name)
    if number is None:
        return Upload.objects.current()
    upload = Upload.objects.readable().filter(pk=_whole(number)).first()
    if upload is None:
        messages.warning(request, f"The rows of upload {number} are not kept; these are the current one's.")
        raise IncorrectLookupParameters
    return upload


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise IncorrectLookupParameters
    return int(text)


def prefix_filter(column: str, text: str) -> Q:
    """Names that begin with these letters as they are, found by an index of ``column`` on every database."""
    start = unicodedata.normalize("NFC", text.strip())
    return Q((f"{column}__gte", start), (f"{column}__lte", start + _AFTER_ALL_NAMES))


class UploadFilter(admin.SimpleListFilter):
    """The current upload, or another whose rows are kept."""

    title = "upload"
    parameter_name = "upload"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        self.upload = listed_upload(request)
        return [(upload.pk, f"{upload.pk} {upload.file_name}") for upload in Upload.objects.readable().order_by("-pk")]

    def has_output(self) -> bool:
        return True  # it is in force with no upload to choose from, too

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        current, *kept = super().choices(changelist)
        yield {**current, "display": "the current one"}
        yield from kept

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(upload=self.upload) if self.upload else queryset.none()


class RowFilter(admin.SimpleListFilter):
    """Deals of one customer or gem, to which links lead; the choices name it and no other."""

    model: ClassVar[type[SnapshotRow]]
    parameter_name: str

    @classmethod
    def row(cls, request: HttpRequest) -> Any:
        """The one that is asked for, or None."""
        number = request.GET.get(cls.parameter_name)
        if number is None:
            return None
        rows = cls.model._default_manager.filter(upload=listed_upload(request), pk=_whole(number))
        row = cached_on_request(request, f"listed_{cls.parameter_name}", rows.first)
        if row is None:
            raise IncorrectLookupParameters
        return row

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        row = self.row(request)
        return [(row.pk, str(row))] if row else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter((self.parameter_name, self.value()))


class CustomerFilter(RowFilter):
    title = parameter_name = "customer"
    model = Customer


class GemFilter(RowFilter):
    title = parameter_name = "gem"
    model = Gem


class PeriodFilter(admin.SimpleListFilter):
    """Deals of one year, and then of one month of it."""

    title = "date"
    parameter_name = "date"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        if value := self.value():
            period = _PERIOD.fullmatch(value)
            if period is None:
                raise IncorrectLookupParameters
            year = period[1]
            return [(year, year), *((f"{year}-{month:02}",) * 2 for month in range(1, 13))]
        upload = listed_upload(request)
        dates = Deal.objects.filter(upload=upload).order_by("date").values_list("date", flat=True)
        first, last = dates.first(), dates.last()
        if upload is None or first is None or last is None:
            return []
        years = range(last.year, max(first.year, last.year - _YEARS + 1) - 1, -1)
        return [(f"{year:04}", f"{year:04}") for year in years]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        value = self.value()
        if value is None:
            return None
        since, until = _bounds(value)
        within = queryset.filter(date__gte=since)
        return within.filter(date__lt=until) if until else within


def _bounds(period: str) -> tuple[datetime, datetime | None]:
    """The first moment of a year or month, and the first after it, if the calendar has one."""
    year, _, month = period.partition("-")
    try:
        since = datetime(int(year), int(month or 1), 1, tzinfo=UTC)
    except ValueError as error:
        raise IncorrectLookupParameters from error
    year_after, months_after = divmod(12 * since.year + since.month - 1 + (1 if month else 12), 12)
    return since, datetime(year_after, months_after + 1, 1, tzinfo=UTC) if year_after <= 9999 else None
