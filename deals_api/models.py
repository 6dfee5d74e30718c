"""Uploads, the immutable rows each of them brought, and the pointer to the current one.

Answers for the shape of the data, its invariants and the vocabulary of queries. Rows of a snapshot
are written once, by ``store``, and never edited, so the sums on them cannot drift.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.core.management.utils import get_random_secret_key
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Exists, F, Q, Window
from django.db.models.functions import Now

from deals_api.errors import UploadNotRetained
from deals_api.limits import MAX_HOLDER_LENGTH

if TYPE_CHECKING:
    MoneyColumn = models.BigIntegerField[Decimal, Decimal]
    NameColumn = models.CharField[str, str]
else:
    MoneyColumn, NameColumn = models.BigIntegerField, models.CharField

#: A row's id is its upload's number in the high half and its place in the file in the low half.
_ROWS_PER_UPLOAD = 2**32

CENT = Decimal("0.01")
MAX_NAME_LENGTH = 255


def row_id(upload_id: int, place: int) -> int:
    """The id of the row at ``place`` (from 1) among those of its kind in one upload."""
    return upload_id * _ROWS_PER_UPLOAD + place


def upload_id_of(row: int) -> int:
    """The number of the upload that a row's id names."""
    return row // _ROWS_PER_UPLOAD


def row_number_of(row: int) -> int:
    """The place in the file that a row's id names."""
    return row % _ROWS_PER_UPLOAD


class MoneyField(MoneyColumn):
    """Exact money with two decimals: ``Decimal`` in Python, whole hundredths in the database.

    A ``DecimalField`` is summed in binary floating point by SQLite; integers are exact everywhere.
    """

    description = "Money, kept in hundredths"

    def from_db_value(self, value: int | Decimal | None, *_: object) -> Decimal | None:
        return None if value is None else from_hundredths(int(value))

    def to_python(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def get_prep_value(self, value: Any) -> int | None:
        if value is None:
            return None
        hundredths = Decimal(value) / CENT
        whole = int(hundredths)
        if whole != hundredths:
            raise ValueError("Money has at most two decimals.")
        return whole

    def formfield(self, **kwargs: Any) -> Any:
        from django import forms

        return models.Field.formfield(self, **{"form_class": forms.DecimalField, "decimal_places": 2, **kwargs})


def from_hundredths(value: int) -> Decimal:
    """Exact for any size: 10050 is 100.50."""
    sign, digits, _ = Decimal(value).as_tuple()
    return Decimal((sign, digits, -2))


class NameField(NameColumn):
    """A name, compared and sorted by code point on every database, whatever its locale."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", MAX_NAME_LENGTH)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


# The history of files


class UploadQuerySet(models.QuerySet["Upload"]):
    def current(self) -> Upload | None:
        """The upload that the pointer names now, in one statement; None before the first."""
        return self.filter(pointer__pk=CurrentUpload.ONLY).first()

    def current_and_pending_change(self) -> tuple[Upload | None, bool]:
        """The current upload, and whether another may become current soon, in one statement."""
        loading = Upload.objects.filter(state=Upload.State.LOADING)
        pointer = (
            CurrentUpload.objects.filter(pk=CurrentUpload.ONLY)
            .annotate(change_pending=Exists(loading))
            .select_related("upload")
            .first()
        )
        if pointer is None:
            return None, True
        return pointer.upload, pointer.change_pending or pointer.announced is not None

    def matching(self, upload: Upload) -> Self:
        """This very upload: after a restore the database gives the same id to another file."""
        return self.filter(pk=upload.pk, snapshot=upload.snapshot)

    def readable(self) -> Self:
        """Those whose rows can be read, whole."""
        return self.filter(state=Upload.State.LOADED)

    def get_retained(self, snapshot: uuid.UUID | None) -> Upload:
        """The readable one of this name.

        Raises: UploadNotRetained.
        """
        upload = None if snapshot is None else self.readable().filter(snapshot=snapshot).first()
        if upload is None:
            raise UploadNotRetained
        return upload

    def beyond_retention(self, keep: int) -> Self:
        """Readable ones that are neither current nor among the ``keep`` newest."""
        newest = self.readable().order_by("-pk").values_list("pk", flat=True)[:keep]
        return self.readable().exclude(pk__in=list(newest)).filter(pointer=None)


class Upload(models.Model):
    """One file that arrived: a version of the data, or a refusal."""

    class State(models.TextChoices):
        LOADING = "loading", "being loaded"
        LOADED = "loaded", "loaded; its rows can be read"
        REFUSED = "refused", "refused"
        INTERRUPTED = "interrupted", "interrupted before it was loaded"
        RETIRED = "retired", "loaded once; its rows are being deleted"
        PRUNED = "pruned", "loaded once; its rows are gone"

    # The id counts arrivals, and arrival order decides which upload is current.
    id = models.AutoField(primary_key=True)
    #: Names this upload's rows in cache keys. Unlike the id it is never given again, not even by
    #: a database that was restored from yesterday's dump and counts on from there.
    snapshot = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
    file_name = models.CharField(max_length=255, help_text="As the client named it.")
    sha256 = models.CharField(max_length=64, help_text="Of the file's bytes.")
    size = models.BigIntegerField(help_text="Bytes.")
    #: The column keeps its first name, so that processes of the previous release work during an upgrade.
    deal_count = models.BigIntegerField(default=0, db_column="rows", help_text="Deals in the file.")
    customer_count = models.BigIntegerField(default=0, help_text="Different customers in the file.")
    gem_count = models.BigIntegerField(default=0, help_text="Different gems in the file.")
    customer_characters = models.BigIntegerField(null=True, help_text="Characters of all its customers' names.")
    gem_characters = models.BigIntegerField(null=True, help_text="Characters of all its gems' names.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.LOADING)
    error = models.TextField(blank=True, help_text="The sentence of the refusal.")
    #: The database has the default too, so that processes of the previous release can still insert rows.
    uploaded_by = models.CharField(
        max_length=MAX_HOLDER_LENGTH, blank=True, default="", db_default="",
        help_text="Holder of the token it was sent with, or the command that loaded it; empty where neither is known.",
    )  # fmt: skip
    arrived_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)

    objects = UploadQuerySet.as_manager()
    pointer: CurrentUpload
    #: Set by ``ingest_deals``: the file came again while its bytes were current.
    is_duplicate: bool = False

    class Meta:
        indexes = [models.Index(fields=["state", "-id"], name="upload_by_state")]

    def __str__(self) -> str:
        return f"{self.pk} {self.file_name} ({self.state})"

    def is_readable(self) -> bool:
        """Whether its rows exist now; a check after reading rows proves that they were its own."""
        return Upload.objects.readable().matching(self).exists()

    def cache_name(self) -> str:
        return str(self.snapshot)


class CurrentUpload(models.Model):
    """The pointer: one row, moved last in the transaction of the upload it will name."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    upload = models.OneToOneField(Upload, models.PROTECT, null=True, related_name="pointer")
    #: Uploads up to this number have had their say: one of them that finishes later changes nothing.
    arrival = models.IntegerField(default=0)
    #: Set while somebody is about to point at another upload; see ``snapshots.lease.Lease``.
    announced = models.UUIDField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="there_is_one_pointer")]

    def __str__(self) -> str:
        return f"current: {self.upload_id}"


# The rows of one upload


Row = TypeVar("Row", bound="SnapshotRow")


class SnapshotQuerySet(models.QuerySet[Row]):
    def for_upload(self, upload: Upload) -> Self:
        return self.filter(upload=upload)

    def in_pk_range(self, upload: Upload) -> Self:
        """The same rows as ``of``, for questions that look at most of them or take them as they lie in the file.

        Asked by the upload's number alone PostgreSQL walks through the rows of all older uploads to the first
        of this one, as their ids are smaller (measured: half a second for a first page).
        """
        return self.rows_between(upload, 1, _ROWS_PER_UPLOAD)

    def rows_between(self, upload: Upload, start: int, stop: int) -> Self:
        """The rows of one upload from place ``first`` to before ``beyond``, found by the primary key."""
        return self.filter(pk__gte=row_id(upload.pk, start), pk__lt=row_id(upload.pk, stop))


class SnapshotRow(models.Model):
    """A row that belongs to exactly one upload and never changes.

    Its references carry no database constraint: the loader numbers both ends itself, rows are
    neither edited nor deleted one by one, and checking a million of them twice took longer than parsing them.
    """

    id = models.BigIntegerField(primary_key=True)
    upload = models.ForeignKey(Upload, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)

    class Meta:
        abstract = True


class CustomerQuerySet(SnapshotQuerySet["Customer"]):
    def by_spending(self) -> Self:
        """Richest first; equal sums by username, so that a place is never a matter of luck."""
        return self.order_by("-spent_money", "username")


class Customer(SnapshotRow):
    """A buyer in one upload."""

    username = NameField()
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
        indexes = [models.Index(fields=["upload", "-spent_money", "username"], name="customer_by_spending")]

    def __str__(self) -> str:
        return self.username


class Gem(SnapshotRow):
    """A kind of goods in one upload."""

    name = NameField()
    total = MoneyField()
    deal_count = models.BigIntegerField()
    buyer_count = models.BigIntegerField(help_text="Different customers who bought it.")
    first_deal = models.DateTimeField()
    last_deal = models.DateTimeField()

    objects = SnapshotQuerySet["Gem"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "name"], name="a_gem_is_unique_in_an_upload")]

    def __str__(self) -> str:
        return self.name


class PurchaseQuerySet(SnapshotQuerySet["Purchase"]):
    def shared_by(self, customer_ids: list[int]) -> Self:
        """Purchases of gems that at least two of these customers bought.

        In one walk, because a database that has not counted its rows yet joins them one by one (measured: 2 s
        for 4,000).
        """
        buyers = Window(Count("pk"), partition_by=F("gem"))
        return self.filter(customer__in=customer_ids).annotate(buyers=buyers).filter(buyers__gte=2)


class Purchase(SnapshotRow):
    """What one customer bought of one gem."""

    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, related_name="purchases", db_constraint=False, db_index=False
    )
    gem = models.ForeignKey(Gem, models.DO_NOTHING, related_name="purchases", db_constraint=False, db_index=False)
    deal_count = models.BigIntegerField()
    quantity = models.BigIntegerField()
    total = MoneyField()

    objects = PurchaseQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "gem"], name="a_purchase_is_unique")]
        indexes = [models.Index(fields=["gem", "customer"], name="purchase_by_gem")]

    def __str__(self) -> str:
        return f"{self.customer_id} × {self.gem_id}"


class Deal(SnapshotRow):
    """One line of the file."""

    customer = models.ForeignKey(Customer, models.DO_NOTHING, related_name="deals", db_constraint=False, db_index=False)
    gem = models.ForeignKey(Gem, models.DO_NOTHING, related_name="deals", db_constraint=False, db_index=False)
    total = MoneyField()
    quantity = models.IntegerField()
    date = models.DateTimeField()

    objects = SnapshotQuerySet["Deal"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(total__gte=0), name="a_total_is_not_negative"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="a_deal_has_a_piece"),
        ]
        # Each index costs the load as much as the bare rows do (tests/bench), so there are two:
        # a customer has one upload, which is why the first need not begin with it.
        indexes = [
            models.Index(fields=["customer"], name="deal_by_customer"),
            models.Index(fields=["upload", "date", "id"], name="deal_by_date"),
        ]

    def __str__(self) -> str:
        return f"deal {row_number_of(self.pk)} of upload {self.upload_id}"


# This installation of the service


class Installation(models.Model):
    """What is made once, at the first start, and is no other installation's: one row."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    #: Signs the admin's sessions, in every process that shares this database and after every restart.
    secret_key = models.CharField(max_length=100, default=get_random_secret_key)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="there_is_one_installation")]

    def __str__(self) -> str:
        return "this installation"
