"""JSON Schemas of the documents, for editors that complete and check while one writes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.spec.card import DatasetCard
from orchestrator.spec.profile import ClusterProfile, PolicyFile, PolicySection
from orchestrator.spec.workload import RECIPES, CommandWorkload

Kind = Literal["workload", "profile", "policy", "card"]

KINDS: tuple[Kind, ...] = ("workload", "profile", "policy", "card")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLES = {
    "workload": "A workload",
    "profile": "A cluster profile",
    "policy": "A scheduling policy",
    "card": "A dataset card",
}


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of document.

    It says what a document looks like; rules between keys (a schedule and its steps, say) are checked at submit only.
    """
    makers = {
        "workload": _workload,
        "profile": ClusterProfile.model_json_schema,
        "policy": _policy,
        "card": DatasetCard.model_json_schema,
    }
    return {"$schema": _DIALECT, **_without_generated_titles(makers[kind]()), "title": _TITLES[kind]}


def _workload() -> dict[str, Any]:
    models: list[type[BaseModel]] = [*RECIPES.values(), CommandWorkload]
    places, shared = models_json_schema([(model, "validation") for model in models])
    description = f"Either a recipe ({', '.join(RECIPES)}) or a command."
    return {"description": description, "oneOf": list(places.values()), **shared}


def _policy() -> dict[str, Any]:
    places, shared = models_json_schema([(PolicySection, "validation"), (PolicyFile, "validation")])
    return {"description": "A policy's section, or `policy:` and one.", "anyOf": list(places.values()), **shared}


def _without_generated_titles(schema: Any, *, names: bool = False) -> Any:
    """`title: Batch Size` beside the key `batch_size` helps nobody; a key that is called title stays."""
    if isinstance(schema, list):
        return [_without_generated_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_generated_titles(part, names=key in ("properties", "$defs") and not names)
        for key, part in schema.items()
        if names or key not in ("title", "default") or (key == "default" and _is_plain(part))
    }


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
