"""Execution that stops as soon as the response is over ``MAX_RESPONSE_BYTES``, before it is written as JSON."""

from __future__ import annotations

from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from deals_api.response_size import check_response_size, utf8_bytes


class BoundedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Counts keys and texts, object by object; numbers and punctuation are counted when the JSON is there."""

    response_bytes = 0

    def execute_fields(self, *arguments: Any, **more: Any) -> Any:
        """Raises: ResponseTooLarge."""
        check_response_size(self.response_bytes)
        fields: Any = super().execute_fields(*arguments, **more)
        self.response_bytes += sum(map(_text_bytes, fields)) + sum(map(_text_bytes, fields.values()))
        check_response_size(self.response_bytes)
        return fields


def _text_bytes(value: Any) -> int:
    """Objects inside were counted by themselves."""
    if isinstance(value, str):
        return utf8_bytes(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return sum(map(utf8_bytes, value))
    return 0
