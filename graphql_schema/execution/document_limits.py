"""Limits of a GraphQL document, checked before it is executed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from django.conf import settings
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    Visitor,
    visit,
)

from deals_api.errors import LimitExceeded

#: Python converts at most 4,300 digits to an integer; no scalar of the schema has more than 19.
_MAX_DIGITS: Final = 100


@dataclass(frozen=True, slots=True)
class DocumentMetrics:
    """The size of a document with expanded fragments."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    spreads: int = 0

    def merge(self, other: DocumentMetrics) -> DocumentMetrics:
        return DocumentMetrics(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.spreads + other.spreads,
        )


def check_document_size(document: DocumentNode) -> None:
    """Check the size of each definition of a document that may be invalid.

    Raises: LimitExceeded.
    """
    limits = settings.DEALS_LIMITS
    visitor = _MetricsVisitor(fragments_by_name(document))
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        metrics = visitor.measure(definition)
        _check_limit("levels of fields", metrics.depth, limits.max_query_depth)
        _check_limit("fields", metrics.fields, limits.max_query_fields)
        _check_limit("aliases", metrics.aliases, limits.max_query_aliases)
        _check_limit("directives", metrics.directives, limits.max_query_directives)
        _check_limit("fragment spreads", metrics.spreads, limits.max_query_fields)  # A fragment may have no fields.
        if isinstance(definition, OperationDefinitionNode):
            _check_limit("root fields", _count_root_fields(definition, visitor.fragments), limits.max_root_fields)


def _count_root_fields(operation: OperationDefinitionNode, fragments: dict[str, FragmentDefinitionNode]) -> int:
    """Count the root fields, including those that a mutation selects in ``query`` fields of its results."""
    fields = list(fields_within([operation.selection_set], fragments))
    count = len(fields)
    if operation.operation is OperationType.MUTATION:
        for field in fields:
            results = [field.selection_set] if field.selection_set else []
            queries = [node.selection_set for node in fields_within(results, fragments) if node.name.value == "query"]
            count += sum(1 for _ in fields_within(filter(None, queries), fragments))
    return count


def _check_limit(unit: str, count: int, limit: int) -> None:
    if count > limit:
        raise LimitExceeded(f"The document has more than {limit} {unit}.")


def fragments_by_name(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }


def _is_introspection(node: Any) -> bool:
    """Return whether a selection is introspection. graphql-core limits its depth; common tools need 14 levels."""
    if isinstance(node, FieldNode):
        return node.name.value.startswith("__")
    condition = getattr(node, "type_condition", None)
    return condition is not None and condition.name.value.startswith("__")


class _MetricsVisitor:
    """Measures each fragment once, so that the time does not grow with the expanded document."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self.fragments = fragments
        self.measured: dict[str, DocumentMetrics] = {}

    def measure(self, node: Any) -> DocumentMetrics:
        """Measure a definition, a field or an inline fragment."""
        metrics = DocumentMetrics(directives=len(node.directives or ()))
        for selection in node.selection_set.selections if node.selection_set else ():
            metrics = metrics.merge(self.measure_selection(selection))
        return replace(metrics, depth=0) if _is_introspection(node) else metrics

    def measure_selection(self, node: Any) -> DocumentMetrics:
        if isinstance(node, FragmentSpreadNode):
            return self.measure_fragment(node.name.value).merge(
                DocumentMetrics(spreads=1, directives=len(node.directives or ()))
            )
        content = self.measure(node)
        if not isinstance(node, FieldNode):
            return content
        field = DocumentMetrics(fields=1, aliases=int(node.alias is not None))
        return replace(content, depth=content.depth + 1).merge(field)

    def measure_fragment(self, name: str) -> DocumentMetrics:
        if name not in self.measured:
            self.measured[name] = DocumentMetrics()  # In case of a cycle, which validation rejects.
            if name in self.fragments:
                self.measured[name] = self.measure(self.fragments[name])
        return self.measured[name]


def fields_within(
    selection_sets: Iterable[SelectionSetNode], fragments: dict[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    """Yield the fields of one level, including those in fragments, each of which is read once."""
    pending, seen = list(selection_sets), set()
    while pending:
        for node in pending.pop().selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                pending.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                if fragment := fragments.get(node.name.value):
                    pending.append(fragment.selection_set)


def count_selections(document: DocumentNode) -> int:
    """Count the fields, fragment spreads and inline fragments that the document contains."""
    counter = _SelectionCounter()
    visit(document, counter)
    return counter.count


class _SelectionCounter(Visitor):
    count = 0

    def enter_field(self, *_: Any) -> None:
        self.count += 1

    enter_fragment_spread = enter_inline_fragment = enter_field


def count_overlapping_fields(document: DocumentNode) -> int:
    """Count the pairs of fields with the same response path; validation compares each pair.

    Each distinct group of selection sets is counted once, so that the time does not grow with the expanded document.
    """
    fragments, counted = fragments_by_name(document), dict[tuple[int, ...], int]()

    def count(selection_sets: list[SelectionSetNode]) -> int:
        key = tuple(map(id, selection_sets))
        if key not in counted:
            by_name: dict[str, list[FieldNode]] = {}
            for field in fields_within(selection_sets, fragments):
                by_name.setdefault((field.alias or field.name).value, []).append(field)
            counted[key] = sum(map(count_group, by_name.values()))
        return counted[key]

    def count_group(fields: list[FieldNode]) -> int:
        pairs = len(fields) * (len(fields) - 1) // 2
        return pairs + count([field.selection_set for field in fields if field.selection_set])

    return sum(
        count([definition.selection_set])
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    )


def check_values(document: DocumentNode, variables: dict[str, Any]) -> None:
    """Check the lists, strings, numbers and nesting of the values in a document and in its variables.

    Raises: LimitExceeded.
    """
    limits = settings.DEALS_LIMITS
    collector = _ValueCollector()
    visit(document, collector)
    pending = [(value, 0) for value in (*collector.values, *variables.values())]
    while pending:
        value, level = pending.pop()
        if isinstance(value, str) and len(value) > limits.max_string_length:
            raise LimitExceeded(f"A string is over {limits.max_string_length} characters.")
        if isinstance(value, list) and len(value) > limits.max_list_argument:
            raise LimitExceeded(f"A list has more than {limits.max_list_argument} values.")
        if isinstance(value, list | dict):
            _check_levels(level + 1)
            parts = value.values() if isinstance(value, dict) else value
            pending.extend((part, level + 1) for part in parts)


def _check_levels(levels: int) -> None:
    """Limit the nesting of values, which graphql-core and the filters read recursively."""
    maximum = settings.DEALS_LIMITS.max_query_depth
    if levels > maximum:
        raise LimitExceeded(f"A value has more than {maximum} levels.")


class _ValueCollector(Visitor):
    """Collects the strings and lists of a document, and limits their nesting."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Any] = []
        self.levels = 0

    def open_level(self, *_: Any) -> None:
        self.levels += 1
        _check_levels(self.levels)

    def close_level(self, *_: Any) -> None:
        self.levels -= 1

    enter_object_value = enter_list_type = open_level
    leave_object_value = leave_list_type = leave_list_value = close_level

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        self.values.append(node.value)

    def enter_int_value(self, node: IntValueNode, *_: Any) -> None:
        if len(node.value) > _MAX_DIGITS:
            raise LimitExceeded(f"A number has more than {_MAX_DIGITS} digits.")

    def enter_list_value(self, node: ListValueNode, *_: Any) -> None:
        self.open_level()
        self.values.append([None] * len(node.values))
