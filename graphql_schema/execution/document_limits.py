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
    SelectionSetNode,
    StringValueNode,
    Visitor,
    visit,
)

from deals_api.errors import LimitExceeded

#: Python reads no number of more than 4300, and no scalar of ours takes one of more than 19.
_MAX_DIGITS: Final = 100


@dataclass(frozen=True, slots=True)
class DocumentMetrics:
    """How large a document is; fragments count wherever they are spread."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    spreads: int = 0

    def beside(self, other: DocumentMetrics) -> DocumentMetrics:
        return DocumentMetrics(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.spreads + other.spreads,
        )


def check_shape(document: DocumentNode) -> None:
    """Raises: LimitExceeded, where any definition of the document is over a limit. The document need not be valid."""
    limits = settings.DEALS_LIMITS
    walk = _MetricsVisitor(_fragments(document))
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        shape = walk.of(definition)
        _check_limit("levels of fields", shape.depth, limits.max_query_depth)
        _check_limit("fields", shape.fields, limits.max_query_fields)
        _check_limit("aliases", shape.aliases, limits.max_query_aliases)
        _check_limit("directives", shape.directives, limits.max_query_directives)
        _check_limit("spreads of fragments", shape.spreads, limits.max_query_fields)  # even of empty ones
        if isinstance(definition, OperationDefinitionNode):
            roots = sum(1 for _ in fields_within([definition.selection_set], walk.fragments))
            _check_limit("root fields", roots, limits.max_root_fields)


def _check_limit(what: str, found: int, most: int) -> None:
    if found > most:
        raise LimitExceeded(f"The document has more than {most} {what}.")


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}


def _is_introspection(node: Any) -> bool:
    """Whether what is inside is introspection, whose depth graphql-core bounds: frontends ask for 14 levels of it."""
    if isinstance(node, FieldNode):
        return node.name.value.startswith("__")
    condition = getattr(node, "type_condition", None)
    return condition is not None and condition.name.value.startswith("__")


class _MetricsVisitor:
    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self.fragments = fragments
        self.known: dict[str, DocumentMetrics] = {}

    def of(self, node: Any) -> DocumentMetrics:
        """The shape of a definition, a field or a fragment."""
        shape = DocumentMetrics(directives=len(node.directives or ()))
        for selection in node.selection_set.selections if node.selection_set else ():
            shape = shape.beside(self.selection(selection))
        return replace(shape, depth=0) if _is_introspection(node) else shape

    def selection(self, node: Any) -> DocumentMetrics:
        if isinstance(node, FragmentSpreadNode):
            return self.spread(node.name.value).beside(
                DocumentMetrics(spreads=1, directives=len(node.directives or ()))
            )
        inside = self.of(node)
        if not isinstance(node, FieldNode):
            return inside
        field = DocumentMetrics(fields=1, aliases=int(node.alias is not None))
        return replace(inside, depth=inside.depth + 1).beside(field)

    def spread(self, name: str) -> DocumentMetrics:
        if name not in self.known:
            self.known[name] = DocumentMetrics()  # what spreads itself is refused by validation
            if name in self.fragments:
                self.known[name] = self.of(self.fragments[name])
        return self.known[name]


def fields_within(
    selection_sets: Iterable[SelectionSetNode], fragments: dict[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    """The fields of one level, with those that fragments bring; each fragment once."""
    waiting, seen = list(selection_sets), set()
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                if fragment := fragments.get(node.name.value):
                    waiting.append(fragment.selection_set)


def check_values(document: DocumentNode, variables: dict[str, Any]) -> None:
    """Raises: LimitExceeded, where a list, a string or a number is over its limit, in the document or the variables."""
    limits = settings.DEALS_LIMITS
    waiting: list[Any] = [variables]
    visit(document, _ValueCollector(waiting))
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and len(value) > limits.max_string_length:
            raise LimitExceeded(f"A string is over {limits.max_string_length} characters.")
        if isinstance(value, list | tuple):
            if len(value) > limits.max_list_argument:
                raise LimitExceeded(f"A list has more than {limits.max_list_argument} values.")
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())


class _ValueCollector(Visitor):
    """Collects the strings and lists that a document writes out, none of them within too many others.

    (Documents are compared by a function that calls itself at each level, so Python would give up in its middle.)
    """

    def __init__(self, values: list[Any]) -> None:
        super().__init__()
        self.values = values
        self.levels = 0

    def go_in(self, *_: Any) -> None:
        self.levels += 1
        _check_limit("levels of values", self.levels, settings.DEALS_LIMITS.max_query_depth)

    def come_out(self, *_: Any) -> None:
        self.levels -= 1

    enter_object_value = enter_list_type = go_in
    leave_object_value = leave_list_type = leave_list_value = come_out

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        self.values.append(node.value)

    def enter_int_value(self, node: IntValueNode, *_: Any) -> None:
        if len(node.value) > _MAX_DIGITS:
            raise LimitExceeded(f"A number has more than {_MAX_DIGITS} digits.")

    def enter_list_value(self, node: ListValueNode, *_: Any) -> None:
        self.go_in()
        self.values.append([None] * len(node.values))
