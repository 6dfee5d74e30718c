"""The admin: uploads and what each of them brought, to look at; and the current upload, to choose.

Nothing is added, edited or deleted here: rows come from files alone. Which upload may become current,
and how, is ``snapshots.current.activate``'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html

from deals_api import request_context
from deals_api.admin.changelist import (
    CustomerFilter,
    GemFilter,
    PeriodFilter,
    SnapshotChangeList,
    SnapshotPaginator,
    UploadFilter,
    cached_on_request,
    listed_upload,
    prefix_filter,
)
from deals_api.errors import TooManyRequests, UploadNotRetained
from deals_api.models import Customer, Deal, Gem, Purchase, SnapshotRow, Upload, row_number_of
from deals_api.security.throttling import count_login
from deals_api.snapshots import current as current_snapshot

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class DealsSite(admin.AdminSite):
    site_title = site_header = "Deals in gems"
    index_title = "Uploads and their rows"
    site_url = "/"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Passwords cannot be tried out at will."""
        if request.method == "POST":
            try:
                count_login(request.META)
            except TooManyRequests as error:
                headers = {"Retry-After": str(error.retry_after)}
                return HttpResponse(error.message, "text/plain; charset=utf-8", 429, headers=headers)
        return super().login(request, extra_context)

    def catch_all_view(self, request: HttpRequest, url: str) -> HttpResponse:
        """An address without its last slash means the one with it, though APPEND_SLASH is off for the API."""
        if not url.endswith("/"):
            return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
        raise Http404


site = DealsSite()


class ReadOnly(ModelAdmin):
    """To look at, by whoever may view the model; for nobody to change."""

    #: Each of these would count every row.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


# The history of files


@admin.register(Upload, site=site)
class UploadAdmin(ReadOnly):
    list_display = ["id", "file_name", "current", "outcome", "deals", "customers", "gems", "file_size",
                    "uploaded_by", "arrived", "finished", "error"]  # fmt: skip
    list_display_links = ["id", "file_name"]
    list_filter = ["state", "uploaded_by"]
    list_select_related = ["pointer"]
    search_fields = ["file_name"]
    search_help_text = "Part of a file's name."
    ordering = ["-id"]
    fields = ["file_name", "sha256", "size", "current", "state", "error", "deal_count", "customer_count", "gem_count",
              "uploaded_by", "arrived", "finished"]  # fmt: skip
    readonly_fields = ["current", "arrived", "finished"]
    # An action sends a field for each marked row, and a request may have a hundred fields.
    list_per_page = 50
    list_max_show_all = 50
    actions = ["make_current"]

    @admin.display(boolean=True)
    def current(self, upload: Upload) -> bool:
        return hasattr(upload, "pointer")

    @admin.display(ordering="deal_count")
    def deals(self, upload: Upload) -> Any:
        return _rows_of(upload, "deal", upload.deal_count)

    @admin.display(ordering="customer_count")
    def customers(self, upload: Upload) -> Any:
        return _rows_of(upload, "customer", upload.customer_count)

    @admin.display(ordering="gem_count")
    def gems(self, upload: Upload) -> Any:
        return _rows_of(upload, "gem", upload.gem_count)

    @admin.display(description="state", ordering="state")
    def outcome(self, upload: Upload) -> str:
        return upload.state

    @admin.display(ordering="arrived_at")
    def arrived(self, upload: Upload) -> str:
        return iso(upload.arrived_at)

    @admin.display(ordering="finished_at")
    def finished(self, upload: Upload) -> str:
        return iso(upload.finished_at) if upload.finished_at else ""

    @admin.display(ordering="size")
    def file_size(self, upload: Upload) -> str:
        return filesizeformat(upload.size)

    def has_activate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deals_api.change_upload")

    @admin.action(description="Make current", permissions=["activate"])
    def make_current(self, request: HttpRequest, chosen: QuerySet[Upload]) -> None:
        if len(uploads := list(chosen[:2])) != 1:
            self.message_user(request, "Choose one upload: only one can be current.", messages.ERROR)
            return
        (upload,) = uploads
        request_context.get_request_context().user = request.user.get_username()
        try:
            current_snapshot.activate(upload.snapshot)
        except UploadNotRetained:
            self.message_user(
                request, f"Upload {upload.pk} cannot be made current: its rows are not kept.", messages.ERROR
            )
            return
        if Upload.objects.current() != upload:
            self.message_user(request, "A newer upload arrived meanwhile, and is current.", messages.WARNING)
            return
        self.log_change(request, upload, "Made current.")
        self.message_user(request, f"Upload {upload.pk} is current now.", messages.SUCCESS)


def _rows_of(upload: Upload, model: str, count: int) -> Any:
    """A count that leads to the rows, while they can be read."""
    if upload.state != Upload.State.LOADED:
        return count
    return _link(model, count, upload=upload.pk)


def _link(model: str, text: Any, **narrowed: int) -> Any:
    address = reverse(f"admin:deals_api_{model}_changelist", query=narrowed)
    return format_html('<a href="{}">{}</a>', address, text)


def iso(moment: datetime) -> str:
    """To the last digit, and in an order that a person can see."""
    return moment.replace(tzinfo=None).isoformat(" ")


# The rows of one upload


class SnapshotAdmin(ReadOnly):
    """Rows of one upload: the current one, or another that is chosen."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in self.parameters()

    def parameters(self) -> set[str]:
        """What an address may say of the rows to list."""
        filters: Iterable[Any] = self.list_filter
        return {one.parameter_name for one in filters}

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> SnapshotRow | None:
        """None also where the row is on its way out."""
        row: SnapshotRow | None = super().get_object(request, object_id, from_field)
        return row if row and row.upload.is_readable() else None

    def get_paginator(
        self, request: HttpRequest, queryset: QuerySet[Any], per_page: int, *_: Any, **__: Any
    ) -> Paginator[Any]:
        upload = listed_upload(request)
        if upload is None:
            return Paginator(queryset, per_page)
        names = {SEARCH_VAR, *self.parameters()} - {UploadFilter.parameter_name}
        narrowed = sorted(name for name in names if request.GET.get(name, "").strip())
        known = self.known_count(request, upload, narrowed)
        return SnapshotPaginator(queryset, per_page, upload, known, whole=not narrowed)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SnapshotChangeList

    def known_count(self, request: HttpRequest, upload: Upload, narrowed: list[str]) -> int | None:
        """How many rows are listed, if that is stored; ``narrowed`` names the parameters that leave some out."""
        raise NotImplementedError


class NamedAdmin(SnapshotAdmin):
    """Customers, or gems: each has a name of its own in its upload, and the sums of its deals."""

    list_filter = [UploadFilter]
    search_help_text = "How a name begins; letters count as they are written."

    @admin.display(description="deals", ordering="deal_count")
    def deal_link(self, row: Any) -> Any:
        chosen = {UploadFilter.parameter_name: row.upload_id, row._meta.model_name: row.pk}
        return _link("deal", row.deal_count, **chosen)

    @admin.display(description="first deal", ordering="first_deal")
    def first(self, row: Any) -> str:
        return iso(row.first_deal)

    @admin.display(description="last deal", ordering="last_deal")
    def last(self, row: Any) -> str:
        return iso(row.last_deal)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        (name,) = self.search_fields
        return (queryset.filter(prefix_filter(name, search_term)) if search_term else queryset), False


@admin.register(Customer, site=site)
class CustomerAdmin(NamedAdmin):
    list_display = ["username", "spent_money", "deal_link", "gem_count", "first", "last"]
    search_fields = ["username"]
    ordering = ["-spent_money", "username"]
    fields = ["upload", "username", "spent_money", "deal_link", "gem_count", "first", "last"]
    readonly_fields = ["deal_link", "first", "last"]

    def known_count(self, request: HttpRequest, upload: Upload, narrowed: list[str]) -> int | None:
        return None if narrowed else upload.customer_count


@admin.register(Gem, site=site)
class GemAdmin(NamedAdmin):
    list_display = ["name", "total", "deal_link", "buyer_count", "first", "last"]
    search_fields = ["name"]
    ordering = ["name"]
    fields = ["upload", "name", "total", "deal_link", "buyer_count", "first", "last"]
    readonly_fields = ["deal_link", "first", "last"]

    def known_count(self, request: HttpRequest, upload: Upload, narrowed: list[str]) -> int | None:
        return None if narrowed else upload.gem_count


@admin.register(Deal, site=site)
class DealAdmin(SnapshotAdmin):
    list_display = ["place", "exact_date", "customer", "gem", "quantity", "total"]
    list_display_links = ["place"]
    list_filter = [UploadFilter, PeriodFilter, CustomerFilter, GemFilter]
    list_select_related = ["customer", "gem"]
    search_fields = ["customer", "gem"]
    search_help_text = "How a username or a gem's name begins; letters count as they are written."
    #: The orders that an index has.
    sortable_by = ["place", "exact_date"]
    fields = ["upload", "place", "exact_date", "customer", "gem", "quantity", "total"]
    readonly_fields = ["place", "exact_date"]

    def get_ordering(self, request: HttpRequest) -> Any:
        """In the order in which those to be listed lie side by side."""
        return ["date", "id"] if PeriodFilter.parameter_name in request.GET else ["id"]

    @admin.display(ordering="id")
    def place(self, deal: Deal) -> int:
        return row_number_of(deal.pk)

    @admin.display(description="date", ordering="date")
    def exact_date(self, deal: Deal) -> str:
        return iso(deal.date)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        upload = listed_upload(request)
        if not search_term or upload is None:
            return queryset, False
        found = NameSearch.by(request, upload, search_term)
        of_customers = Q(customer__in=found.customers.values("pk"))
        if found.of_customers <= MAX_NAMES_IN_QUERY and not found.of_gems:
            return queryset.filter(of_customers), False  # they have an index
        return queryset.filter(of_customers | Q(gem__in=found.gems.values("pk"))), False  # a walk past the others

    def known_count(self, request: HttpRequest, upload: Upload, narrowed: list[str]) -> int | None:
        match narrowed:
            case []:
                return upload.deal_count
            case ["customer"]:
                return int(CustomerFilter.row(request).deal_count)
            case ["gem"]:
                return int(GemFilter.row(request).deal_count)
            case ["customer", "gem"]:
                customer, gem = CustomerFilter.row(request), GemFilter.row(request)
                return sum_deal_count(Purchase.objects.filter(customer=customer, gem=gem))
            case ["q"]:
                return NameSearch.by(request, upload, request.GET["q"]).deals()
        return None


#: So many deals are sooner gathered by an index, and sorted, than met on a walk past the others.
MAX_NAMES_IN_QUERY = 10_000


@dataclass(frozen=True, slots=True)
class NameSearch:
    """The customers and gems that a search means, and how many deals the customers and the gems have."""

    customers: QuerySet[Customer]
    gems: QuerySet[Gem]
    of_customers: int
    of_gems: int

    @classmethod
    def by(cls, request: HttpRequest, upload: Upload, beginning: str) -> NameSearch:
        customers = Customer.objects.for_upload(upload).filter(prefix_filter("username", beginning))
        gems = Gem.objects.for_upload(upload).filter(prefix_filter("name", beginning))
        found: NameSearch = cached_on_request(
            request, "names_found", lambda: cls(customers, gems, sum_deal_count(customers), sum_deal_count(gems))
        )
        return found

    def deals(self) -> int:
        if not (self.of_customers and self.of_gems):
            return self.of_customers + self.of_gems
        both = Purchase.objects.filter(customer__in=self.customers.values("pk"), gem__in=self.gems.values("pk"))
        return self.of_customers + self.of_gems - sum_deal_count(both)


def sum_deal_count(rows: QuerySet[Any]) -> int:
    """By the counts that customers, gems and purchases have."""
    counted: int | None = rows.aggregate(deals=Sum("deal_count"))["deals"]
    return counted or 0
