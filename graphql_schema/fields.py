"""Fields that read a column of a row, or the row that a foreign key refers to."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from strawberry_django.fields.field import StrawberryDjangoField

from graphql_schema.execution.batching import related_object


class AttributeField(StrawberryDjangoField):
    """A column of a row.

    strawberry-django's own field first checks for relations and querysets, which took half of the response time.
    """

    is_basic_field = True  # Overrides a property that returns False.

    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:
        return getattr(source, self.python_name)


class DetectedField(AttributeField):
    """A column of text whose empty value means that the value is unknown."""

    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:
        return getattr(source, self.python_name) or None


class BatchedForeignKey(AttributeField):
    """The row that a foreign key refers to, loaded for all peers at once."""

    model: type[Model]

    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:
        return related_object(source, f"{self.python_name}_id", self.model)


def column(description: str) -> Any:
    return AttributeField(description=description)


def detected(description: str) -> Any:
    return DetectedField(description=f"{description} Null if it was not detected or not recorded.")


def foreign_key(model: type[Model], description: str) -> Any:
    field = BatchedForeignKey(description=description)
    field.model = model
    return field
