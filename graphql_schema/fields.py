"""Fields of a row without arguments: its id, its columns, and the rows that its foreign keys refer to."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry_django.fields.field import StrawberryDjangoField

from deals_api.global_ids import write_row_id, write_upload_id
from deals_api.models import Upload
from graphql_schema.execution.batching import related_object
from graphql_schema.execution.context import OperationContext

Info = GraphQLResolveInfo[OperationContext]


class RowField(StrawberryDjangoField):
    """A field of a row without arguments: a column, unless a subclass overrides ``resolve``."""

    is_basic_field = True  # Overrides a property that returns False.

    def resolve(self, row: Any, info: Info) -> Any:
        """Return the value of the field; graphql-core calls this method."""
        return getattr(row, self.python_name)


class DetectedField(RowField):
    """A column of text whose empty value means that the value is unknown."""

    def resolve(self, row: Any, info: Info) -> Any:
        return getattr(row, self.python_name) or None


class BatchedForeignKey(RowField):
    """The row that a foreign key refers to, loaded for all peers at once."""

    model: type[Model]

    def resolve(self, row: Any, info: Info) -> Any:
        return related_object(row, f"{self.python_name}_id", self.model)


class GlobalIdField(RowField):
    """The global id of a row or an upload."""

    def resolve(self, row: Any, info: Info) -> str:
        if isinstance(row, Upload):
            return write_upload_id(row.snapshot)
        return write_row_id(info.parent_type.name, row.pk, info.context.upload_of(row).snapshot)


def resolve_directly(schema: GraphQLSchema) -> None:
    """Let graphql-core call the resolvers of row fields, which are most of the fields of a response.

    Strawberry and strawberry-django would first look for arguments, extensions, relations and querysets, which takes
    longer than these resolvers.
    """
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            for field in type_.fields.values():
                definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
                if isinstance(definition, RowField):
                    field.resolve = definition.resolve


def global_id(description: str) -> Any:
    return GlobalIdField(description=description)


def column(description: str) -> Any:
    return RowField(description=description)


def detected(description: str) -> Any:
    return DetectedField(description=f"{description} Null if it was not detected or not recorded.")


def foreign_key(model: type[Model], description: str) -> Any:
    field = BatchedForeignKey(description=description)
    field.model = model
    return field
