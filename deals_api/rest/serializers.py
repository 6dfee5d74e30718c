"""The shapes of REST: what may be asked, and how answers are written."""

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
from deals_api.query_parameters import first_error
from deals_api.reports.top_clients import DEFAULT_LIMIT, TopClient

# What may be asked


class _QueryParameterField(serializers.Field[Any, str, Any, Any]):
    """The text of a parameter as it came; DRF would take an empty one for none."""

    def get_value(self, dictionary: Any) -> Any:
        return dictionary.get(self.field_name, empty)


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": settings.DEALS_LIMITS.max_top_clients})
class LimitField(_QueryParameterField):
    """A number of places, in the digits of ASCII."""

    def to_internal_value(self, data: str) -> int:
        most = settings.DEALS_LIMITS.max_top_clients
        if not (data.isascii() and data.isdigit() and len(data) < 10 and 1 <= int(data) <= most):
            raise serializers.ValidationError(f"It must be a whole number from 1 to {most}.")
        return int(data)


@extend_schema_field({"type": "string", "enum": ["0", "1"]})
class FlagField(_QueryParameterField):
    """``1`` for yes and ``0`` for no."""

    def to_internal_value(self, data: str) -> str:
        if data not in ("0", "1"):
            raise serializers.ValidationError("It must be 0 or 1.")
        return data


@extend_schema_field({"type": "string"})
class SnapshotField(_QueryParameterField):
    """The name of an upload's snapshot; None where it can be none, so that no upload has it."""

    def to_internal_value(self, data: str) -> UUID | None:
        return parse_snapshot(data)


def reject_unknown(parameters: MultiValueDict[str, Any], known: Container[str] = (), kind: str = "parameter") -> None:
    """Raises: ValidationError for the first unknown or repeated name."""
    if error := first_error(parameters, known, kind):
        name, sentence = error
        raise serializers.ValidationError({name: [sentence]})


class QueryParameters(serializers.Serializer[Any]):
    """Query parameters: the fields of this serializer, each once, and no other."""

    def to_internal_value(self, data: QueryDict) -> Any:
        reject_unknown(data, self.fields)
        return super().to_internal_value(data)


class TopClientsParameters(QueryParameters):
    limit = LimitField(default=DEFAULT_LIMIT, help_text="The number of places.")


class ExportParameters(QueryParameters):
    upload = SnapshotField(
        required=False,
        help_text="Any retained upload, by the id that GraphQL gives it (`uploads { nodes { id } }`) or by "
        "the UUID inside that id. Without it, the current one.",
    )


class CsvExportParameters(ExportParameters):
    raw = FlagField(
        default="0",
        help_text="`1`: for programs and for uploading again. Every name is exactly as it was uploaded, and there is "
        "no byte-order mark. `0`: for spreadsheets. What they would take for a formula, a name that begins with "
        "`=`, `+`, `-` or `@`, also after a semicolon, has an apostrophe before it.",
    )


class TopClientsExportParameters(TopClientsParameters, ExportParameters):
    pass


class TopClientsCsvExportParameters(TopClientsParameters, CsvExportParameters):
    pass


class UploadForm(serializers.Serializer[Any]):
    """The history of deals as one file."""

    deals = serializers.FileField(
        help_text="A CSV file with the columns customer, item, total, quantity and date; it replaces the data."
    )


# How answers are written


def top_clients_json(ranking: list[TopClient]) -> bytes:
    """The body of the brief: ``{"response": [{username, spent_money, gems}]}``."""
    return dump_json(
        {
            "response": [
                {"username": client.username, "spent_money": format_money(client.spent_money), "gems": client.gems}
                for client in ranking
            ]
        }
    )
