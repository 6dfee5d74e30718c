"""The shapes of REST: what may be asked, and how answers are written."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import simplejson
from django.conf import settings
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.renderers import JSONRenderer

from deals_api.reports import TopClient


class PlacesField(serializers.Field[int, str, int, int]):
    """A number of places, in the digits of ASCII."""

    def get_value(self, dictionary: Any) -> Any:
        return dictionary.get(self.field_name, empty)  # DRF would take ``limit=`` for no limit

    def to_internal_value(self, data: str) -> int:
        most = settings.DEALS_LIMITS.max_top_clients
        if not (data.isascii() and data.isdigit() and len(data) < 10 and 1 <= int(data) <= most):
            raise serializers.ValidationError(f"It must be a whole number from 1 to {most}.")
        return int(data)


class TopClientsQuery(serializers.Serializer[Any]):
    """``?limit=``, and nothing else."""

    limit = PlacesField(default=5)

    def to_internal_value(self, data: QueryDict) -> Any:
        for name, values in data.lists():
            if name not in self.fields:
                raise serializers.ValidationError({name: [f"There is no parameter {name!r}."]})
            if len(values) > 1:
                raise serializers.ValidationError({name: ["Give it once."]})
        return super().to_internal_value(data)


def top_clients_json(ranking: list[TopClient]) -> bytes:
    """The body of the brief: ``{"response": [{username, spent_money, gems}]}``."""
    return exact_json(
        {
            "response": [
                {"username": client.username, "spent_money": plain(client.spent_money), "gems": client.gems}
                for client in ranking
            ]
        }
    )


def plain(money: Decimal) -> Decimal:
    """The shortest writing of an amount: 451731, 100.5, 0.25; never an exponent."""
    whole = money.to_integral_value()
    return whole if whole == money else money.normalize()


def exact_json(data: Any) -> bytes:
    """JSON whose numbers are the decimals themselves: no binary float on the way."""
    text: str = simplejson.dumps(data, use_decimal=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


class ExactJSONRenderer(JSONRenderer):
    """DRF's media type, written by ``exact_json``."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else exact_json(data)
