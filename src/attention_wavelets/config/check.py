"""Pydantic's verdicts as one line a user can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from attention_wavelets.errors import PipelineError, nearest

__all__ = ["check"]

Checked = TypeVar("Checked", bound=BaseModel)
# Whole numbers up to here are exact as floats, which forecasts and tables make of them.
_LARGEST = 2**53


def check(schema: type[Checked], values: Mapping[str, Any], where: str) -> Checked:
    """Build `schema` from plain values.

    Parameters
    ----------
    schema
        A class of `config.schema`.
    values
        The composed YAML as plain Python values.
    where
        The file the values came from; it starts the error message.

    Raises
    ------
    PipelineError
        Naming the file, the key, the rule, the value received and the allowed values.
    """
    _refuse_huge(values, "", where)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        # A key that is missing is often one that is there with a typing error.
        details = sorted(
            error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden"
        )
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        raise PipelineError(_sentence(schema, details[0]) + more, where) from None


def _refuse_huge(value: Any, key: str, where: str) -> None:
    if isinstance(value, Mapping):
        for name, inside in value.items():
            _refuse_huge(inside, _below(key, str(name)), where)
    elif isinstance(value, list):
        for inside in value:
            _refuse_huge(inside, key, where)
    elif isinstance(value, int) and abs(value) > _LARGEST:
        digits = len(str(abs(value)))
        todo = f"write {_LARGEST} at most"
        raise PipelineError(f"{key}: a number of {digits} digits is too large", where, todo)


def _sentence(schema: type[BaseModel], detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    key = ".".join(_written(schema, path))
    kind = detail["type"]
    context = detail.get("ctx", {})
    value = detail.get("input")
    if kind == "extra_forbidden":
        allowed = sorted(_fields_at(schema, path[:-1]))
        hint = nearest(path[-1], allowed)
        return f"unknown key '{key}'; {hint}allowed here: {', '.join(allowed)}"
    if kind == "missing":
        return f"key '{key}' is missing"
    if kind in {"literal_error", "union_tag_invalid"}:
        expected = str(context.get("expected", context.get("expected_tags", "")))
        options = [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]
        got = context.get("tag", value)
        hint = nearest(str(got), options)
        key = key if kind == "literal_error" else _below(key, "kind")
        return f"{key}: '{got}' is not allowed; {hint}allowed: {', '.join(options)}"
    if kind == "union_tag_not_found":
        return f"key '{_below(key, 'kind')}' is missing"
    message = detail["msg"].removeprefix("Value error, ")
    start = f"{key}: " if key else ""
    if kind == "value_error":
        return f"{start}{message}"
    return f"{start}{message[:1].lower()}{message[1:]}, got {value!r}"


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _written(schema: type[BaseModel], path: list[str]) -> list[str]:
    """The path as the YAML has it: without the names of union members that pydantic puts in."""
    return [
        part
        for place, part in enumerate(path)
        if part in _fields_at(schema, path[:place])
        or not any(_tag(cls) == part for cls in _classes_at(schema, path[:place]))
    ]


def _fields_at(schema: type[BaseModel], path: Iterable[str]) -> set[str]:
    """Field names of every class that can stand at `path` below `schema`."""
    return {name for cls in _classes_at(schema, path) for name in cls.model_fields}


def _classes_at(schema: type[BaseModel], path: Iterable[str]) -> set[type[BaseModel]]:
    # A model that only wraps a union stands for the union itself.
    wrapped = schema.model_fields.get("root")
    classes = _classes_in(wrapped.annotation) if wrapped else {schema}
    for part in path:
        inside: set[type[BaseModel]] = set()
        for cls in classes:
            if part in cls.model_fields:
                inside |= _classes_in(cls.model_fields[part].annotation)
        tagged = {cls for cls in classes if _tag(cls) == part}
        # The name of a union member and the index of a list entry are not fields.
        classes = inside or tagged or classes
    return classes


def _tag(cls: type[BaseModel]) -> str:
    field = cls.model_fields.get("kind")
    options = get_args(field.annotation) if field else ()
    return str(options[0]) if options else ""


def _classes_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {cls for part in get_args(annotation) for cls in _classes_in(part)}
