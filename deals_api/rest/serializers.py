"""Query parameters, the upload form and the top clients response of the REST API."""

from __future__ import annotations

from collections.abc import Container
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from deals_api.formats import dump_json, format_money
from deals_api.global_ids import parse_snapshot
from deals_api.ingest.report import UploadReport
from deals_api.query_parameters import first_error
from deals_api.reports.deal_filter import DealSelection
from deals_api.reports.filter_json import InvalidFilter, parse_filter
from deals_api.reports.filters import DealFilter
from deals_api.reports.orders import DealOrder
from deals_api.reports.top_clients import DEFAULT_LIMIT, TopClient

# Query parameters and form


class _QueryParameterField(serializers.Field[Any, str, Any, Any]):
    """A query parameter whose empty value is validated; DRF would replace it by the default."""

    def get_value(self, dictionary: Any) -> Any:
        return dictionary.get(self.field_name, empty)


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": settings.DEALS_LIMITS.max_top_clients})
class LimitField(_QueryParameterField):
    """A number of clients, written with ASCII digits."""

    def to_internal_value(self, data: str) -> int:
        maximum = settings.DEALS_LIMITS.max_top_clients
        if not (data.isascii() and data.isdigit() and len(data) < 10 and 1 <= int(data) <= maximum):
            raise serializers.ValidationError(f"Expected an integer from 1 to {maximum}.")
        return int(data)


@extend_schema_field({"type": "string", "enum": ["0", "1"]})
class FlagField(_QueryParameterField):
    """``1`` or ``0``."""

    def to_internal_value(self, data: str) -> str:
        if data not in ("0", "1"):
            raise serializers.ValidationError("Expected 0 or 1.")
        return data


@extend_schema_field({"type": "string"})
class SnapshotField(_QueryParameterField):
    """The id of an upload, converted to the UUID of its snapshot; None if the id is invalid."""

    def to_internal_value(self, data: str) -> UUID | None:
        return parse_snapshot(data)


@extend_schema_field({"type": "string"})
class DealFilterField(_QueryParameterField):
    """A filter of deals in JSON; the text is kept, because it identifies the response."""

    def to_internal_value(self, data: str) -> tuple[str, DealSelection]:
        try:
            return data, parse_filter(data, DealFilter).selection()
        except InvalidFilter as error:
            raise serializers.ValidationError(str(error)) from None


@extend_schema_field({"type": "string", "enum": [order.name for order in DealOrder]})
class DealOrderField(_QueryParameterField):
    """The name of an order of deals."""

    def to_internal_value(self, data: str) -> DealOrder:
        if data not in DealOrder.__members__:
            raise serializers.ValidationError(f"Expected one of {', '.join(DealOrder.__members__)}.")
        return DealOrder[data]


def reject_unknown(parameters: MultiValueDict[str, Any], known: Container[str] = (), kind: str = "parameter") -> None:
    """Raises: ValidationError for the first unknown or repeated name."""
    if error := first_error(parameters, known, kind):
        name, message = error
        raise serializers.ValidationError({name: [message]})


class QueryParameters(serializers.Serializer[Any]):
    """Base class: rejects unknown and repeated parameters."""

    def to_internal_value(self, data: QueryDict) -> Any:
        reject_unknown(data, self.fields)
        return super().to_internal_value(data)


class TopClientsParameters(QueryParameters):
    limit = LimitField(default=DEFAULT_LIMIT, help_text="Number of clients.")


class UploadParameters(QueryParameters):
    dry_run = FlagField(default="0", help_text="`1`: check the file and return its report, but store nothing.")


class ExportParameters(QueryParameters):
    upload = SnapshotField(
        required=False,
        help_text="A retained upload: its GraphQL id (`uploads { nodes { id } }`) or the UUID inside that id. "
        "Default: the current upload.",
    )


class DealsExportParameters(ExportParameters):
    filter = DealFilterField(
        required=False,
        help_text="Only the deals that meet these conditions: the JSON of the GraphQL input `DealFilter`, such as "
        '`{"gem": {"iStartsWith": "руб"}, "total": {"gte": 1000}}`.',
    )
    orderBy = DealOrderField(  # noqa: N815, the name of the argument in GraphQL
        required=False, help_text="Sort order: a value of the GraphQL enum `DealOrder`. Default: `FILE_ASC`."
    )


class CsvExportParameters(ExportParameters):
    raw = FlagField(
        default="0",
        help_text="`1`: for programs and for uploading again; names are unchanged, and there is no byte-order mark. "
        "`0`: for spreadsheets; an apostrophe is inserted before every character that could start a formula: "
        "`=`, `+`, `-`, `@`, their full-width forms (`\uff1d`, `\uff0b`, `\uff0d`, `\uff20`) and small forms "
        "(`\ufe66`, `\ufe62`, `\ufe63`, `\ufe6b`), tab and carriage return, at the beginning of a name or after a "
        "semicolon, also after blanks.",
    )


class DealsCsvExportParameters(DealsExportParameters, CsvExportParameters):
    pass


class TopClientsExportParameters(TopClientsParameters, ExportParameters):
    pass


class TopClientsCsvExportParameters(TopClientsParameters, CsvExportParameters):
    pass


class UploadForm(serializers.Serializer[Any]):
    """The upload form."""

    deals = serializers.FileField(
        help_text="A CSV file with the columns customer, item, total, quantity and date; it replaces all data."
    )


# Response bodies


def top_clients_json(ranking: list[TopClient]) -> bytes:
    """Return the body ``{"response": [{username, spent_money, gems}]}`` that the brief requires."""
    return dump_json(
        {
            "response": [
                {"username": client.username, "spent_money": format_money(client.spent_money), "gems": client.gems}
                for client in ranking
            ]
        }
    )


def accepted_body(report: UploadReport | None) -> dict[str, Any]:
    """Return the body ``{"Status": "OK"}`` that the brief requires; a report is added to it."""
    body: dict[str, Any] = {"Status": "OK"}
    if report is not None:
        body["Report"] = report.as_json()
    return body
