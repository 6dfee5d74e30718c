"""Models, their invariants and their query methods.

An upload stores one snapshot: immutable rows of customers, gems, purchases and deals. ``ingest.loader`` writes the
rows once and nothing edits them, so the stored sums stay correct. One row points to the current upload.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.core.management.utils import get_random_secret_key
from django.db import connection, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Exists, ExpressionWrapper, F, Q, Window, lookups
from django.db.models.functions import Now

from deals_api.errors import UploadNotRetained
from deals_api.limits import MAX_HOLDER_LENGTH

if TYPE_CHECKING:
    MoneyColumn = models.BigIntegerField[Decimal, Decimal]
    NameColumn = models.CharField[str, str]
    QuantityColumn = models.IntegerField[int, int]
else:
    MoneyColumn, NameColumn, QuantityColumn = models.BigIntegerField, models.CharField, models.IntegerField

#: The high half of a row's id is the upload's id, the low half the row number.
_ROWS_PER_UPLOAD = 2**32

MAX_NAME_LENGTH = 255
#: A character folds to at most four characters with nine bytes in UTF-8, so a folded name has at most 2,295 bytes, and
#: fits the 2,704 bytes of an index entry of PostgreSQL.
MAX_FOLDED_LENGTH = 4 * MAX_NAME_LENGTH

#: Fields of ``Upload`` with the detected format of the file.
FORMAT_FIELDS = ("encoding", "delimiter", "decimal_separator", "date_format")


def row_id(upload_id: int, row_number: int) -> int:
    """Return the primary key of a row. Each model numbers the rows of an upload from 1, without gaps."""
    return upload_id * _ROWS_PER_UPLOAD + row_number


def upload_id_of(pk: int) -> int:
    """Return the id of the upload that a row belongs to."""
    return pk // _ROWS_PER_UPLOAD


def row_number_of(pk: int) -> int:
    """Return the number of a row in its upload, from 1; for a deal, its position in the file."""
    return pk % _ROWS_PER_UPLOAD


class RowIdField(models.BigIntegerField[int, int]):
    """A primary key of 64 bits.

    SQLite finds a row by its primary key directly only if the type of the column is ``INTEGER``. With any other type,
    the keys are in a separate index, and each search reads both.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)


class QuantityField(QuantityColumn):
    """An integer of 32 bits that can be compared with integers of 64 bits.

    Django omits a statement whose condition compares a column with an integer out of its range. The range depends on
    the database, so the same query had different costs.
    """

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _, arguments, keywords = super().deconstruct()
        return name, "django.db.models.IntegerField", arguments, keywords


for _lookup in (
    lookups.Exact, lookups.LessThan, lookups.LessThanOrEqual, lookups.GreaterThan, lookups.GreaterThanOrEqual
):  # fmt: skip
    QuantityField.register_lookup(_lookup)


class MoneyField(MoneyColumn):
    """Exact money with two decimals: ``Decimal`` in Python, an integer of hundredths in the database.

    SQLite sums a ``DecimalField`` in binary floating point. Sums of integers are exact on every database.
    """

    description = "Money, stored in hundredths"

    def from_db_value(self, value: int | Decimal | None, *_: object) -> Decimal | None:
        return None if value is None else from_hundredths(int(value))

    def to_python(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def get_prep_value(self, value: Any) -> int | None:
        return None if value is None else to_hundredths(Decimal(value))


def from_hundredths(value: int) -> Decimal:
    """Convert without rounding: 10050 becomes 100.50."""
    sign, digits, _ = Decimal(value).as_tuple()
    return Decimal((sign, digits, -2))


def to_hundredths(money: Decimal) -> int:
    """Raises: ValueError, if the amount has more than two decimals."""
    hundredths = money * 100
    if hundredths != int(hundredths):
        raise ValueError("Money has at most two decimals.")
    return int(hundredths)


def hundredths_of(name: str) -> ExpressionWrapper[F]:
    """Select a ``MoneyField`` as the stored integer, without the conversion to ``Decimal`` and back."""
    return ExpressionWrapper(F(name), models.Field())


class NameField(NameColumn):
    """A name that every database compares and sorts by code point, whatever its locale."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", MAX_NAME_LENGTH)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class FoldedNameField(NameField):
    """A name as ``names.fold_name`` returns it.

    With the database default, processes of the previous release can insert rows during an upgrade. Readers compute the
    missing names; see ``snapshots.folding``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        options = {"max_length": MAX_FOLDED_LENGTH, "default": "", "db_default": "", "editable": False}
        super().__init__(*args, **{**options, **kwargs})


# Upload history


class UploadQuerySet(models.QuerySet["Upload"]):
    def current(self) -> Upload | None:
        """Return the current upload in one statement; None before the first upload."""
        return self.filter(pointer__pk=CurrentUpload.ONLY).first()

    def current_and_pending_change(self) -> tuple[Upload | None, bool]:
        """Return the current upload, and whether another upload may become current soon, in one statement."""
        row: Any = next(iter(self.raw(*_current_and_pending_change())), None)
        return (None, True) if row is None else (row, bool(row.change_pending))

    def matching(self, upload: Upload) -> Self:
        """Select this upload by id and snapshot, because after a restore another file can get the same id."""
        return self.filter(pk=upload.pk, snapshot=upload.snapshot)

    def readable(self) -> Self:
        """Select uploads whose rows can be read."""
        return self.filter(state=Upload.State.LOADED)

    def get_retained(self, snapshot: uuid.UUID | None) -> Upload:
        """Return the readable upload of this snapshot.

        Raises: UploadNotRetained.
        """
        upload = None if snapshot is None else self.readable().filter(snapshot=snapshot).first()
        if upload is None:
            raise UploadNotRetained
        return upload

    def beyond_retention(self, keep: int) -> Self:
        """Select readable uploads that are neither current nor among the ``keep`` newest."""
        newest = self.readable().order_by("-pk").values_list("pk", flat=True)[:keep]
        return self.readable().exclude(pk__in=list(newest)).filter(pointer=None)


class Upload(models.Model):
    """One uploaded file: a snapshot, or the record of a rejected file."""

    class State(models.TextChoices):
        QUEUED = "queued", "waiting for a worker"
        LOADING = "loading", "being loaded"
        LOADED = "loaded", "loaded; its rows can be read"
        #: The stored value is that of the first version.
        REFUSED = "refused", "rejected"
        INTERRUPTED = "interrupted", "interrupted before it was loaded"
        CANCELLED = "cancelled", "cancelled by a client before it was loaded"
        RETIRED = "retired", "loaded once; its rows are being deleted"
        PRUNED = "pruned", "loaded once; its rows were deleted"

    # Ids are in order of arrival, which decides which upload is current.
    id = models.AutoField(primary_key=True)
    #: Identifies the rows in cache keys. Unlike an id, it is never reused after a restore from a backup.
    snapshot = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
    file_name = models.CharField(max_length=255, help_text="File name that the client sent.")
    sha256 = models.CharField(max_length=64, help_text="SHA-256 of the file, in hexadecimal.")
    size = models.BigIntegerField(help_text="Size of the file in bytes.")
    #: The column keeps its original name, so that processes of the previous release work during an upgrade.
    deal_count = models.BigIntegerField(default=0, db_column="rows", help_text="Deals in the file.")
    customer_count = models.BigIntegerField(default=0, help_text="Different customers in the file.")
    gem_count = models.BigIntegerField(default=0, help_text="Different gems in the file.")
    customer_characters = models.BigIntegerField(
        null=True, help_text="Total length of the customers' names in characters, folded if that is longer."
    )
    gem_characters = models.BigIntegerField(
        null=True, help_text="Total length of the gems' names in characters, folded if that is longer."
    )
    names_folded = models.BooleanField(
        default=False, db_default=False, editable=False, help_text="Whether all folded names are stored."
    )
    #: Like the next two fields, null after the rows are deleted, and in an upload of the previous release, whose sums
    #: are computed from deals.
    purchase_count = models.BigIntegerField(
        null=True, editable=False, help_text="Purchases with their minimum and maximum."
    )
    gem_day_count = models.BigIntegerField(null=True, editable=False, help_text="Stored sums by gem and day.")
    gem_month_count = models.BigIntegerField(null=True, editable=False, help_text="Stored sums by gem and month.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.LOADING)
    error = models.TextField(blank=True, help_text="Why the file was rejected.")
    #: With database defaults, processes of the previous release can insert rows during an upgrade.
    uploaded_by = models.CharField(
        max_length=MAX_HOLDER_LENGTH, blank=True, default="", db_default="",
        help_text="Holder of the token of the upload request, or the command that loaded the file; empty if unknown.",
    )  # fmt: skip
    encoding = models.CharField(
        max_length=32, blank=True, default="", db_default="",
        help_text="Detected encoding; like the next three fields, empty if unknown.",
    )  # fmt: skip
    delimiter = models.CharField(
        max_length=8, blank=True, default="", db_default="", help_text="Detected delimiter of the columns."
    )
    decimal_separator = models.CharField(
        max_length=8, blank=True, default="", db_default="",
        help_text="Detected decimal separators, separated by spaces.",
    )  # fmt: skip
    date_format = models.CharField(
        max_length=64, blank=True, default="", db_default="",
        help_text="Detected date formats, separated by spaces.",
    )  # fmt: skip
    arrived_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)

    objects = UploadQuerySet.as_manager()
    pointer: CurrentUpload
    #: Set by ``ingest_deals`` if the bytes of the file were already current.
    is_duplicate: bool = False

    class Meta:
        indexes = [
            models.Index(fields=["state", "-id"], name="upload_by_state"),
            models.Index(fields=["state"], name="upload_with_gem_days", condition=Q(gem_day_count__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.file_name} ({self.state})"

    def is_readable(self) -> bool:
        """Return whether the rows exist now. If they still exist after a read, the read was complete."""
        return Upload.objects.readable().matching(self).exists()

    def cache_name(self) -> str:
        return str(self.snapshot)


class CurrentUpload(models.Model):
    """The pointer to the current upload: one row, changed last in the transaction that stores the rows."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    upload = models.OneToOneField(Upload, models.PROTECT, null=True, related_name="pointer")
    #: Highest upload id already considered: an upload with a lower id that finishes later does not become current.
    highest_upload_id = models.IntegerField(default=0, db_column="arrival")
    #: Set while a roll-back is about to change the pointer; see ``snapshots.lease``.
    rollback_announcement = models.UUIDField(null=True, db_column="announced")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="there_is_one_pointer")]

    def __str__(self) -> str:
        return f"current: {self.upload_id}"


class RejectionDetails(models.Model):
    """Details of the error of an upload, which are kept for some time; see ``ingest.rejections``."""

    upload = models.OneToOneField(Upload, models.PROTECT, primary_key=True, related_name="+")
    code = models.CharField(max_length=64, help_text="Code of the error.")
    #: Not a ``JSONField``, because PostgreSQL does not accept the character U+0000 of a cell in it.
    problems = models.TextField(help_text="Invalid cells, as JSON.")

    def __str__(self) -> str:
        return f"{self.upload_id}: {self.code}"


class LoadProgress(models.Model):
    """The progress of a running load; see ``snapshots.progress``.

    The load locks the row of its upload until it ends, so the progress is in another table, without a foreign key,
    whose constraint would wait for that lock. On SQLite, the rows are not updated during a load.
    """

    snapshot = models.UUIDField(primary_key=True)
    rows_read = models.BigIntegerField(default=0)
    bytes_read = models.BigIntegerField(default=0)
    heartbeat_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.snapshot}: {self.rows_read} rows"


@cache
def _current_and_pending_change() -> tuple[str, tuple[Any, ...]]:
    """Return the SQL statement that reads the current upload, with its parameters.

    It is generated once, because that takes most of the time of a statement that each process executes every 50 ms.
    """
    change_pending = Q(Exists(Upload.objects.filter(state=Upload.State.LOADING))) | Q(
        pointer__rollback_announcement__isnull=False
    )
    current = Upload.objects.filter(pointer__pk=CurrentUpload.ONLY)
    return current.annotate(change_pending=change_pending).query.sql_with_params()


# Rows of a snapshot


Row = TypeVar("Row", bound="SnapshotRow")


class SnapshotQuerySet(models.QuerySet[Row]):
    def for_upload(self, upload: Upload) -> Self:
        return self.filter(upload=upload)

    def in_pk_range(self, upload: Upload) -> Self:
        """Select the same rows as ``for_upload``, for queries that read most rows or order them by id.

        With a condition on ``upload`` only, PostgreSQL first scans the rows of all older uploads in the primary key
        (measured: half a second for a first page).
        """
        return self.rows_between(upload, 1, _ROWS_PER_UPLOAD)

    def rows_between(self, upload: Upload, start: int, stop: int) -> Self:
        """Select the rows with numbers from ``start`` up to, but not including, ``stop`` by their primary keys."""
        return self.filter(pk__gte=row_id(upload.pk, start), pk__lt=row_id(upload.pk, stop))

    def joined_with_names(self, upload: Upload, relations: Iterable[str]) -> Self:
        """Return the same rows, which must be of this upload, for queries that read names of their customers or gems.

        Without a condition on the joined rows, PostgreSQL may read the names of all uploads. With one, SQLite would
        read all names of this upload first, and search the rows of each.
        """
        if connection.vendor != "postgresql":
            return self.all()
        return self.filter(**{f"{relation}__upload": upload for relation in relations})


class SnapshotRow(models.Model):
    """A row that belongs to exactly one upload and never changes.

    Foreign keys have no database constraint: the loader assigns the ids of both sides, rows are neither edited nor
    deleted one by one, and to check two keys of a million rows took longer than to parse the rows.
    """

    id = RowIdField(primary_key=True)
    upload = models.ForeignKey(Upload, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)

    class Meta:
        abstract = True

    @property
    def row_number(self) -> int:
        return row_number_of(self.pk)


class CustomerQuerySet(SnapshotQuerySet["Customer"]):
    def by_spending(self) -> Self:
        """Order by spent money, descending; equal sums by username, so that the order is total."""
        return self.order_by("-spent_money", "username")


class Customer(SnapshotRow):
    """A customer in one upload."""

    username = NameField()
    username_folded = FoldedNameField()
    spent_money = MoneyField()
    deal_count = models.BigIntegerField()
    gem_count = models.BigIntegerField(help_text="Different gems bought.")
    first_deal = models.DateTimeField()
    last_deal = models.DateTimeField()

    objects = CustomerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upload", "username"], name="a_username_is_unique_in_an_upload"),
        ]
        indexes = [
            models.Index(fields=["upload", "-spent_money", "username"], name="customer_by_spending"),
            models.Index(fields=["upload", "username_folded"], name="customer_by_folded_name"),
        ]

    def __str__(self) -> str:
        return self.username


class Gem(SnapshotRow):
    """A gem in one upload."""

    name = NameField()
    name_folded = FoldedNameField()
    total = MoneyField()
    deal_count = models.BigIntegerField()
    buyer_count = models.BigIntegerField(help_text="Different customers who bought it.")
    first_deal = models.DateTimeField()
    last_deal = models.DateTimeField()

    objects = SnapshotQuerySet["Gem"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "name"], name="a_gem_is_unique_in_an_upload")]
        indexes = [models.Index(fields=["upload", "name_folded"], name="gem_by_folded_name")]

    def __str__(self) -> str:
        return self.name


class PurchaseQuerySet(SnapshotQuerySet["Purchase"]):
    def shared_by(self, customer_ids: list[int]) -> Self:
        """Select purchases of gems that at least two of these customers bought.

        A window function needs one scan. A join took 2 s for 4,000 rows on a database without statistics.
        """
        buyers = Window(Count("pk"), partition_by=F("gem"))
        return self.filter(customer__in=customer_ids).annotate(buyers=buyers).filter(buyers__gte=2)


class Purchase(SnapshotRow):
    """The sums of all deals of one customer in one gem.

    The minimum and the maximum are null in rows of the previous release; see ``Upload.purchase_count``.
    """

    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, related_name="purchases", db_constraint=False, db_index=False
    )
    gem = models.ForeignKey(Gem, models.DO_NOTHING, related_name="purchases", db_constraint=False, db_index=False)
    deal_count = models.BigIntegerField()
    quantity = models.BigIntegerField()
    total = MoneyField()
    min_total = MoneyField(null=True)  # type: ignore[misc]  # a subclass cannot be generic
    max_total = MoneyField(null=True)  # type: ignore[misc]

    objects = PurchaseQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "gem"], name="a_purchase_is_unique")]
        indexes = [models.Index(fields=["gem", "customer"], name="purchase_by_gem")]

    def __str__(self) -> str:
        return f"{self.customer_id} × {self.gem_id}"


class GemPeriod(SnapshotRow):
    """The sums of all deals for one gem in one period, in UTC.

    The rows have no index except the primary key: a report reads all rows of an upload.
    """

    gem = models.ForeignKey(Gem, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    start = models.DateField(help_text="The first day of the period.")
    deal_count = models.BigIntegerField()
    quantity = models.BigIntegerField()
    total = MoneyField()
    min_total = MoneyField()
    max_total = MoneyField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.gem_id} from {self.start}"


class GemDay(GemPeriod):
    """The sums of all deals for one gem on one day."""

    objects = SnapshotQuerySet["GemDay"].as_manager()


class GemMonth(GemPeriod):
    """The sums of all deals for one gem in one month."""

    objects = SnapshotQuerySet["GemMonth"].as_manager()


class Deal(SnapshotRow):
    """One row of the file."""

    customer = models.ForeignKey(Customer, models.DO_NOTHING, related_name="deals", db_constraint=False, db_index=False)
    gem = models.ForeignKey(Gem, models.DO_NOTHING, related_name="deals", db_constraint=False, db_index=False)
    total = MoneyField()
    quantity = QuantityField()
    date = models.DateTimeField()

    objects = SnapshotQuerySet["Deal"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(total__gte=0), name="a_total_is_not_negative"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="a_deal_has_a_piece"),
        ]
        # Each index takes as much load time as the rows themselves (tests/bench), so there are only two.
        # The first one does not need the upload, because a customer belongs to one upload.
        indexes = [
            models.Index(fields=["customer"], name="deal_by_customer"),
            models.Index(fields=["upload", "date", "id"], name="deal_by_date"),
        ]

    def __str__(self) -> str:
        return f"deal {self.row_number} of upload {self.upload_id}"


# Jobs of the worker


class Job(models.Model):
    """Work that a task of the worker does; see ``deals_api.jobs``."""

    task_id = models.UUIDField(null=True, editable=False, help_text="The last task that was enqueued.")
    due_at = models.DateTimeField(db_default=Now(), editable=False, help_text="The earliest start of that task.")

    class Meta:
        abstract = True


class QueuedUpload(Job):
    """An asynchronous upload: the values that its load needs."""

    upload = models.OneToOneField(Upload, models.PROTECT, primary_key=True, related_name="queued")
    stored_file = models.CharField(max_length=255, help_text="Name of the file in the storage.")
    #: The nil UUID: the client expects that there is no upload yet.
    expected_snapshot = models.UUIDField(null=True, help_text="The upload that If-Match requires to be current.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Loads that workers have begun.")

    def __str__(self) -> str:
        return f"{self.upload_id}: {self.stored_file}"


class WebhookDelivery(Job):
    """A message about a change of the current upload."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    upload = models.ForeignKey(Upload, models.PROTECT, related_name="+", help_text="The upload that became current.")
    payload = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    status_code = models.PositiveSmallIntegerField(null=True, help_text="Of the last response.")
    error = models.TextField(default="", help_text="Of the last attempt.")
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "webhook deliveries"

    def __str__(self) -> str:
        return f"{self.id}: upload {self.upload_id}"


# Installation


class Installation(models.Model):
    """One row of values that are generated when this installation first starts."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    #: Signs admin sessions, which are therefore valid in all processes that share this database, and after a restart.
    secret_key = models.CharField(max_length=100, default=get_random_secret_key)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="there_is_one_installation")]

    def __str__(self) -> str:
        return "this installation"
