"""The report of a file: its totals, and the format that was detected."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Max, Min, Sum

from deals_api.formats import format_money
from deals_api.ingest.file_format import FileFormat
from deals_api.models import Customer, Upload, from_hundredths

if TYPE_CHECKING:
    from deals_api.ingest.aggregates import DealAggregator

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UploadReport:
    """The dates are in UTC. They and the total are None if the rows of the upload were deleted."""

    rows: int
    customers: int
    gems: int
    first_date: datetime | None
    last_date: datetime | None
    total: Decimal | None
    file_format: FileFormat

    def as_json(self) -> dict[str, Any]:
        """Return the object ``Report`` of REST and of ``load_deals``."""
        return {
            "rows": self.rows,
            "customers": self.customers,
            "gems": self.gems,
            "first_date": _format_date(self.first_date),
            "last_date": _format_date(self.last_date),
            "total": None if self.total is None else format_money(self.total),
            **asdict(self.file_format),
        }


def _format_date(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat().replace("+00:00", "Z")


def report_file(aggregator: DealAggregator, file_format: FileFormat) -> UploadReport:
    """Return the report of a file that was read, but not stored."""
    customers = aggregator.customers
    return UploadReport(
        aggregator.rows,
        customers.names.count,
        aggregator.gems.names.count,
        _EPOCH + timedelta(microseconds=int(customers.first_deals.min())),
        _EPOCH + timedelta(microseconds=int(customers.last_deals.max())),
        from_hundredths(aggregator.total),
        file_format,
    )


def report_upload(upload: Upload) -> UploadReport:
    """Return the report of a stored upload.

    The statement also checks that the upload is readable, so that its sums are never those of a part of the rows.
    """
    rows = Customer.objects.in_pk_range(upload).filter(upload__in=Upload.objects.readable().matching(upload))
    totals = rows.aggregate(first=Min("first_deal"), last=Max("last_deal"), total=Sum("spent_money"))
    return UploadReport(
        upload.deal_count,
        upload.customer_count,
        upload.gem_count,
        totals["first"],
        totals["last"],
        totals["total"],
        FileFormat(upload.encoding, upload.delimiter, upload.decimal_separator, upload.date_format),
    )
