"""Read-only admin: the upload history with the roll-back action, and the rows of each retained upload."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.urls import reverse, reverse_lazy
from django.utils.html import format_html, format_html_join

from deals_api import request_context
from deals_api.admin import changelist
from deals_api.db_vendor import id_without_index
from deals_api.errors import TooManyRequests, UploadNotRetained
from deals_api.models import FORMAT_FIELDS, Customer, Deal, Gem, Purchase, Upload, WebhookDelivery
from deals_api.security.throttling import count_login
from deals_api.snapshots import current as current_snapshot


class DealsSite(admin.AdminSite):
    site_title = site_header = "Deals in gems"
    site_url = reverse_lazy("frontend")  # type: ignore[assignment]  # a lazy string

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Limit the rate of login attempts, so that passwords cannot be guessed."""
        if request.method == "POST":
            try:
                count_login(request.META)
            except TooManyRequests as error:
                return HttpResponse(error.message, "text/plain", 429, headers={"Retry-After": str(error.retry_after)})
        return super().login(request, extra_context)

    def catch_all_view(self, request: HttpRequest, url: str) -> HttpResponse:
        """Append the slash, although APPEND_SLASH is off for the API."""
        if not url.endswith("/"):
            return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
        raise Http404


site = DealsSite()


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    #: The full result count and facets would count all rows.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


def link_to_rows(model: str, text: Any, **filters: int) -> str:
    return format_html('<a href="{}">{}</a>', reverse(f"admin:deals_api_{model}_changelist", query=filters), text)


@admin.register(Upload, site=site)
class UploadAdmin(ReadOnlyAdmin):
    list_display = ["id", "file_name", "is_current", "state", "deal_count", "customer_count", "gem_count", "rows",
                    "size", *FORMAT_FIELDS, "uploaded_by", "arrived_at", "finished_at", "error"]  # fmt: skip
    list_filter = ["state", "uploaded_by"]
    list_select_related = ["pointer"]
    search_fields = ["file_name"]
    ordering = ["-id"]
    #: An action sends a form field for each selected row, and a request may have 100 fields.
    list_per_page = list_max_show_all = 50
    actions = ["make_current"]

    @admin.display(boolean=True, description="current")
    def is_current(self, upload: Upload) -> bool:
        return hasattr(upload, "pointer")

    def rows(self, upload: Upload) -> str:
        """Return links to the rows if they can be read."""
        models = ["customer", "gem", "purchase", "deal"] if upload.state == Upload.State.LOADED else []
        return format_html_join(", ", "{}", [(link_to_rows(name, f"{name}s", upload=upload.pk),) for name in models])

    def has_activate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deals_api.change_upload")

    @admin.action(description="Make current", permissions=["activate"])
    def make_current(self, request: HttpRequest, selected: QuerySet[Upload]) -> None:
        if len(uploads := list(selected[:2])) != 1:
            self.message_user(request, "Select one upload.", messages.ERROR)
            return
        (upload,) = uploads
        request_context.get_request_context().user = request.user.get_username()
        try:
            current_snapshot.activate(upload.snapshot)
        except UploadNotRetained as error:
            self.message_user(request, error.message, messages.ERROR)
            return
        if Upload.objects.current() != upload:
            self.message_user(request, "A newer upload has become current.", messages.WARNING)
            return
        self.log_change(request, upload, "Made current.")
        self.message_user(request, f"Upload {upload.pk} is current now.", messages.SUCCESS)


@admin.register(WebhookDelivery, site=site)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "upload", "attempts", "status_code", "error", "delivered_at", "due_at"]
    list_select_related = ["upload"]


class SnapshotAdmin(ReadOnlyAdmin):
    """Rows of the current upload, or of the upload that is selected in the filter."""

    list_filter = [changelist.UploadFilter]
    list_display_links = None
    ordering = ["id"]
    #: Only columns with an index.
    sortable_by: ClassVar[list[str]] = []
    #: Query parameters that select rows by an index; links from other lists use them.
    filter_parameters: ClassVar[set[str]] = set()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in {"upload", *self.filter_parameters} and len(value) <= 18  # fits a 64-bit integer

    def get_object(self, *_: Any, **__: Any) -> None:
        """Return None: rows have no pages of their own, because the list shows every field."""

    def get_queryset(self, request: HttpRequest) -> Any:
        rows: Any = super().get_queryset(request)
        if (upload := changelist.get_listed_upload(request)) is None:
            return rows.none()
        return rows.in_pk_range(upload) if self.ordering == ["id"] else rows.for_upload(upload)

    def get_ordering(self, request: HttpRequest) -> Any:
        return [id_without_index()] if self.filter_parameters & request.GET.keys() else self.ordering

    def get_paginator(self, request: HttpRequest, queryset: QuerySet[Any], per_page: int, *_: Any, **__: Any) -> Any:
        is_filtered = any(request.GET.get(name) for name in {SEARCH_VAR, *self.filter_parameters})
        if is_filtered or (upload := changelist.get_listed_upload(request)) is None:
            return changelist.FilteredPaginator(queryset, per_page)
        return changelist.SnapshotPaginator(queryset, per_page, upload)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        if search_term and self.search_fields:
            queryset = queryset.filter(changelist.prefix_filter(self.search_fields[0], search_term))
        return queryset, False


@admin.register(Customer, site=site)
class CustomerAdmin(SnapshotAdmin):
    list_display = ["username", "spent_money", "deals", "gems", "first_deal", "last_deal"]
    search_fields = ["username"]
    search_help_text = "Start of a username; case-sensitive."
    sortable_by = ["username", "spent_money"]
    ordering = ["-spent_money", "username"]

    def deals(self, customer: Customer) -> str:
        return link_to_rows("deal", customer.deal_count, upload=customer.upload_id, customer=customer.pk)

    def gems(self, customer: Customer) -> str:
        return link_to_rows("purchase", customer.gem_count, upload=customer.upload_id, customer=customer.pk)


@admin.register(Gem, site=site)
class GemAdmin(SnapshotAdmin):
    list_display = ["name", "total", "deal_count", "buyers", "first_deal", "last_deal"]
    search_fields = ["name"]
    search_help_text = "Start of a name; case-sensitive."
    sortable_by = ["name"]
    ordering = ["name"]

    def buyers(self, gem: Gem) -> str:
        return link_to_rows("purchase", gem.buyer_count, upload=gem.upload_id, gem=gem.pk)


@admin.register(Purchase, site=site)
class PurchaseAdmin(SnapshotAdmin):
    list_display = ["customer", "gem", "deal_count", "quantity", "total"]
    list_select_related = ["customer", "gem"]
    filter_parameters = {"customer", "gem"}


@admin.register(Deal, site=site)
class DealAdmin(SnapshotAdmin):
    list_display = ["row_number", "exact_date", "customer", "gem", "quantity", "total"]
    list_select_related = ["customer", "gem"]
    filter_parameters = {"customer"}

    @admin.display(description="date")
    def exact_date(self, deal: Deal) -> str:
        return deal.date.isoformat(" ")
