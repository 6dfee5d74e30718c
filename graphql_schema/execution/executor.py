"""Execution that stops when the response exceeds ``MAX_RESPONSE_BYTES``, before serialization."""

from __future__ import annotations

from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from deals_api.response_size import check_response_size, utf8_bytes


class BoundedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Counts the bytes of keys and strings after each object. The size of the JSON is checked later."""

    response_bytes = 0

    def execute_fields(self, parent_type: Any, source_value: Any, path: Any, *arguments: Any) -> Any:
        """Execute the fields of one object.

        Raises: ResponseTooLarge, except for the root: an exception outside of its fields would replace the collected
                errors, whose tracebacks refer to the rows.
        """
        if path is None:
            return super().execute_fields(parent_type, source_value, path, *arguments)
        check_response_size(self.response_bytes)
        fields: Any = super().execute_fields(parent_type, source_value, path, *arguments)
        self.response_bytes += sum(map(_text_bytes, fields)) + sum(map(_text_bytes, fields.values()))
        check_response_size(self.response_bytes)
        self.context_value.budget.write_text(self.response_bytes)
        return fields


def _text_bytes(value: Any) -> int:
    """Return the bytes of a string or a list of strings; 0 for nested objects, which are already counted."""
    if isinstance(value, str):
        return utf8_bytes(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return sum(map(utf8_bytes, value))
    return 0
