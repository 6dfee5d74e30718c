"""Execution that stops when the response exceeds ``MAX_RESPONSE_BYTES``, before serialization."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from deals_api.response_size import response_too_large, utf8_bytes


class BoundedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Counts the bytes of keys and strings after each object. The size of the JSON is checked later."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.response_bytes = 0
        self.max_response_bytes = settings.DEALS_LIMITS.max_response_bytes

    def execute_fields(self, parent_type: Any, source_value: Any, path: Any, *arguments: Any) -> Any:
        """Execute the fields of one object.

        Raises: ResponseTooLarge, except for the root: an exception outside of its fields would replace the collected
                errors, whose tracebacks refer to the rows.
        """
        if path is None:
            return super().execute_fields(parent_type, source_value, path, *arguments)
        self._check_size()
        fields: Any = super().execute_fields(parent_type, source_value, path, *arguments)
        self.response_bytes += _text_bytes(fields)
        self._check_size()
        self.context_value.budget.write_text(self.response_bytes)
        return fields

    def _check_size(self) -> None:
        if self.response_bytes > self.max_response_bytes:
            raise response_too_large(self.max_response_bytes)


def _text_bytes(fields: dict[str, Any]) -> int:
    """Return the bytes of the keys, strings and lists of strings of an object; nested objects are already counted."""
    texts, size = list(fields), 0
    for value in fields.values():
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list) and value and isinstance(value[0], str):
            size += sum(map(utf8_bytes, value))
    return size + utf8_bytes("".join(texts))
