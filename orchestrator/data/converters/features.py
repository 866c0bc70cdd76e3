"""What Hugging Face's `features` say of a table's columns."""

from __future__ import annotations

from typing import Any


def class_names(features: Any) -> dict[str, tuple[str, ...]]:
    """The names of each column of classes, in the order of their numbers; of lists of classes too."""
    if not isinstance(features, dict):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name, feature in features.items():
        inner = feature
        while isinstance(inner, dict) and isinstance(inner.get("feature"), dict):
            inner = inner["feature"]
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
            found[name] = tuple(str(one) for one in inner["names"])
    return found
