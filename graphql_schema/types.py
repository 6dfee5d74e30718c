"""The types of the schema, and the relations between them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import strawberry
import strawberry_django

from deals_api import models
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.deal_filter import CUSTOMERS, GEMS, DealSelection
from graphql_schema.connections import FILTER, ORDER_BY, Connection, connection_field, related_connection
from graphql_schema.execution.batching import related_object
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.filtered_rows import filtered_names, filtered_rows
from graphql_schema.execution.pagination import PageArguments
from graphql_schema.execution.related_rows import RelatedDeals, RelatedRows, Relation
from graphql_schema.fields import column, foreign_key, global_id
from graphql_schema.inputs import (
    CustomerFilter,
    CustomerOrder,
    DealFilter,
    DealOrder,
    GemFilter,
    GemOrder,
    PurchaseFilter,
    PurchaseOrder,
)
from graphql_schema.scalars import BigInt

Info = strawberry.Info[OperationContext, None]

_CUSTOMER_DEALS: Final = Relation(models.Deal, "customer_id", "deal_count")
_CUSTOMER_PURCHASES: Final = Relation(models.Purchase, "customer_id", "gem_count")
_CUSTOMER_GEMS: Final = Relation(models.Gem, "purchases__customer_id", "gem_count")
_GEM_BUYERS: Final = Relation(models.Customer, "purchases__gem_id", "buyer_count")
_GEM_PURCHASES: Final = Relation(models.Purchase, "gem_id", "buyer_count")
_GEM_DEALS: Final = Relation(models.Deal, "gem_id", "deal_count", has_index=False)


@strawberry.interface(description="An object with a global id.")
class Node:
    id: strawberry.ID = global_id("Opaque id, valid for node(id) as long as the upload of the object is retained.")


# The contents of a file


@strawberry_django.type(models.Customer, name="Customer", description="A customer in one upload.")
class Customer(Node):
    username: str = column("The customer's username, 1 to 255 characters, unique in the upload.")
    spent_money: Decimal = column("Sum of all deals of the customer, exact.")
    deal_count: BigInt = column("Number of deals of the customer.")
    gem_count: BigInt = column("Number of different gems that the customer bought.")
    first_deal: datetime = column("The time of the customer's earliest deal.")
    last_deal: datetime = column("The time of the customer's latest deal.")

    @connection_field("The deals of the customer.")
    @staticmethod
    def deals(
        root: strawberry.Parent[models.Customer],
        info: Info,
        page: PageArguments,
        order_by: Annotated[DealOrder, ORDER_BY] = DealOrder.DATE_DESC,
        filter: Annotated[DealFilter | None, FILTER] = None,
    ) -> Connection[Deal]:
        return related_connection(
            RelatedDeals(_CUSTOMER_DEALS, _CUSTOMER_PURCHASES, root, info, filter), order_by, page
        )

    @connection_field("The customer's purchases: one for each gem.")
    @staticmethod
    def purchases(
        root: strawberry.Parent[models.Customer],
        info: Info,
        page: PageArguments,
        order_by: Annotated[PurchaseOrder, ORDER_BY] = PurchaseOrder.TOTAL_DESC,
        filter: Annotated[PurchaseFilter | None, FILTER] = None,
    ) -> Connection[Purchase]:
        filtered = filtered_rows(info, root, filter, DealSelection.purchases_of)
        return related_connection(RelatedRows(_CUSTOMER_PURCHASES, root, info, filtered), order_by, page)

    @connection_field("The gems that the customer bought.")
    @staticmethod
    def gems(
        root: strawberry.Parent[models.Customer],
        info: Info,
        page: PageArguments,
        order_by: Annotated[GemOrder, ORDER_BY] = GemOrder.NAME_ASC,
        filter: Annotated[GemFilter | None, FILTER] = None,
    ) -> Connection[Gem]:
        rows = RelatedRows(_CUSTOMER_GEMS, root, info, filtered_names(info, root, filter, GEMS))
        return related_connection(rows, order_by, page)


@strawberry_django.type(models.Gem, name="Gem", description="A gem in one upload.")
class Gem(Node):
    name: str = column("The gem's name, 1 to 255 characters, unique in the upload.")
    total: Decimal = column("Sum of all deals for the gem, exact.")
    deal_count: BigInt = column("Number of deals for the gem.")
    buyer_count: BigInt = column("Number of different customers who bought the gem.")
    first_deal: datetime = column("The time of the earliest deal for the gem.")
    last_deal: datetime = column("The time of the latest deal for the gem.")

    @connection_field("The customers who bought the gem.")
    @staticmethod
    def buyers(
        root: strawberry.Parent[models.Gem],
        info: Info,
        page: PageArguments,
        order_by: Annotated[CustomerOrder, ORDER_BY] = CustomerOrder.SPENT_MONEY_DESC,
        filter: Annotated[CustomerFilter | None, FILTER] = None,
    ) -> Connection[Customer]:
        rows = RelatedRows(_GEM_BUYERS, root, info, filtered_names(info, root, filter, CUSTOMERS))
        return related_connection(rows, order_by, page)

    @connection_field("The purchases of the gem: one for each customer.")
    @staticmethod
    def purchases(
        root: strawberry.Parent[models.Gem],
        info: Info,
        page: PageArguments,
        order_by: Annotated[PurchaseOrder, ORDER_BY] = PurchaseOrder.TOTAL_DESC,
        filter: Annotated[PurchaseFilter | None, FILTER] = None,
    ) -> Connection[Purchase]:
        filtered = filtered_rows(info, root, filter, DealSelection.purchases_of)
        return related_connection(RelatedRows(_GEM_PURCHASES, root, info, filtered), order_by, page)

    @connection_field("The deals for the gem. The database reads all deals of the upload to find them.")
    @staticmethod
    def deals(
        root: strawberry.Parent[models.Gem],
        info: Info,
        page: PageArguments,
        order_by: Annotated[DealOrder, ORDER_BY] = DealOrder.DATE_DESC,
        filter: Annotated[DealFilter | None, FILTER] = None,
    ) -> Connection[Deal]:
        return related_connection(RelatedDeals(_GEM_DEALS, _GEM_PURCHASES, root, info, filter), order_by, page)


@strawberry_django.type(models.Purchase, name="Purchase", description="All deals of one customer for one gem.")
class Purchase(Node):
    customer: Customer = foreign_key(models.Customer, "The customer.")
    gem: Gem = foreign_key(models.Gem, "The gem.")
    deal_count: BigInt = column("Number of deals.")
    quantity: BigInt = column("Total quantity of all deals.")
    total: Decimal = column("Sum of all deals, exact; not a unit price.")


@strawberry_django.type(models.Deal, name="Deal", description="One line of the file.")
class Deal(Node):
    customer: Customer = foreign_key(models.Customer, "The customer.")
    gem: Gem = foreign_key(models.Gem, "The gem.")
    total: Decimal = column("Sum of the deal, not a unit price; up to 999999999999.99.")
    quantity: BigInt = column("Quantity, 1 to 999999999.")
    date: datetime = column("The time of the deal.")
    row_number: BigInt = column("The position of the deal among the deals of the file, from 1.")


# Reports


@strawberry.type(description="A client in the ranking by money spent.")
class TopClient:
    customer_id: strawberry.Private[int]
    gem_names: strawberry.Private[list[str]]
    username: str = strawberry.field(description="The client's username.")
    spent_money: Decimal = strawberry.field(description="Sum of all deals of the client, exact.")

    @strawberry.field(
        description="Names of the gems that this client and at least one other listed client bought, sorted."
    )
    def gems(self, info: Info) -> list[str]:
        info.context.budget.list_names(len(self.gem_names))
        return self.gem_names

    @strawberry.field(description="The client as a customer, with all fields.")
    def customer(self) -> Customer:
        return related_object(self, "customer_id", models.Customer)

    @classmethod
    def of(cls, client: top_clients_report.TopClient) -> TopClient:
        return cls(
            customer_id=client.customer_id,
            gem_names=client.gems,
            username=client.username,
            spent_money=client.spent_money,
        )
