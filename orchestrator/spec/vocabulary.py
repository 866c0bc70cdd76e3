"""Which keys a document knows at a place, and what they mean, read off the model's JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

Path = tuple[str | int, ...]


class Vocabulary:
    """The keys of a document's model."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._schema: dict[str, Any] = model.model_json_schema()

    def keys(self, path: Path) -> dict[str, str]:
        """The keys that a mapping at `path` may have, each with its description."""
        return {
            key: str(schema.get("description", ""))
            for place in self._at(path)
            for key, schema in place.get("properties", {}).items()
        }

    def takes(self, path: Path, value: object) -> bool:
        """Whether what is known at `path` may be of this value's type."""
        types = {place.get("type") for place in self._at(path)}
        return None in types or bool(types & _types_of(value))

    def homes(self, key: str, value: object) -> list[Path]:
        """Where else a key is known that takes values of this one's type, the shortest path first."""
        found = self._all(self._schema, (), 0)
        return sorted((path for path, name, schema in found if name == key and self._takes(schema, value)), key=len)

    def _takes(self, schema: dict[str, Any], value: object) -> bool:
        return any(_fits(branch, value) for branch in self._branches(schema))

    def _at(self, path: Path) -> list[dict[str, Any]]:
        places = list(self._branches(self._schema))
        for part in path:
            below = [s for place in places for s in _below(place, part)]
            places = [branch for schema in below for branch in self._branches(schema)]
        return places

    def _branches(self, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "$ref" in schema:
            yield from self._branches(self._schema["$defs"][schema["$ref"].rsplit("/", 1)[-1]])
        elif "anyOf" in schema:
            for branch in schema["anyOf"]:
                yield from self._branches(branch)
        else:
            yield schema

    def _all(self, schema: dict[str, Any], path: Path, depth: int) -> Iterator[tuple[Path, str, dict[str, Any]]]:
        for branch in self._branches(schema):
            for key, below in branch.get("properties", {}).items():
                yield path, key, below
                if depth < 4:
                    yield from self._all(below, (*path, key), depth + 1)


def _fits(branch: dict[str, Any], value: object) -> bool:
    """Whether the type fits, and of a mapping's keys at least one."""
    if branch.get("type") is None:
        return True
    if branch["type"] not in _types_of(value):
        return False
    known = branch.get("properties")
    return not (isinstance(value, dict) and value and known) or any(key in known for key in value)


def _types_of(value: object) -> set[str]:
    """The types that JSON Schema gives a plain value."""
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    names = {float: "number", str: "string", list: "array", dict: "object"}
    return {names.get(type(value), "null")}


def _below(place: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    found = place.get("items") if isinstance(part, int) else place.get("properties", {}).get(part)
    if found is None and isinstance(part, str):
        found = next(iter(place.get("patternProperties", {}).values()), place.get("additionalProperties"))
    if isinstance(found, dict):
        yield found
