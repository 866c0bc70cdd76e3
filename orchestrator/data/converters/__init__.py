"""Converters: each lists the samples of one kind of source; found by the name in a dataset card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import DataError
from orchestrator.data.converters import digits, image_folder
from orchestrator.data.source import Source
from orchestrator.spec.card import DatasetCard

Converter = Callable[[DatasetCard, Path | None], Source]

_CONVERTERS: dict[str, Converter] = {"digits": digits.scan, "image_folder": image_folder.scan}


def converter(name: str) -> Converter:
    """The converter of this name; DataError where there is none."""
    found = _CONVERTERS.get(name)
    if found is None:
        raise DataError(f"no converter {name!r}", hint=f"there are {', '.join(sorted(_CONVERTERS))}")
    return found
