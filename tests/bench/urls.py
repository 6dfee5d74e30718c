"""The URLs of the service, and baselines: a constant response, and a list of deals by DRF's ModelSerializer."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.generics import ListAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import ModelSerializer

import project.urls
from deals_api.models import Customer, Deal, Gem
from deals_api.snapshots import current as current_snapshot

BODY = b'{"response":%s[]}'


def constant(_request: HttpRequest, size: int = 464) -> HttpResponse:
    return HttpResponse(BODY % (b" " * (size - len(BODY) + 2)), content_type="application/json")


class CustomerSerializer(ModelSerializer[Customer]):
    class Meta:
        model = Customer
        fields = ["username"]


class GemSerializer(ModelSerializer[Gem]):
    class Meta:
        model = Gem
        fields = ["name"]


class DealSerializer(ModelSerializer[Deal]):
    customer = CustomerSerializer()
    gem = GemSerializer()

    class Meta:
        model = Deal
        fields = ["id", "total", "quantity", "date", "customer", "gem"]


class Deals(ListAPIView[Deal]):
    """The first hundred deals of the current upload."""

    renderer_classes = [JSONRenderer]
    serializer_class = DealSerializer

    def get_queryset(self) -> Any:
        upload = current_snapshot.current_upload()
        assert upload is not None
        deals = Deal.objects.in_pk_range(upload).select_related("customer", "gem")
        return deals.order_by("pk")[:100]


urlpatterns = [
    path("constant/", constant),
    path("constant/<int:size>/", constant),
    path("drf/deals/", Deals.as_view()),
    *project.urls.urlpatterns,  # not included, which would make the service's URLs slower than they are
]
