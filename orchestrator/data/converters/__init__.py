"""Converters: each lists the samples of one kind of source; found by the name in a dataset card."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import get_args

from orchestrator.base.errors import DataError
from orchestrator.data.converters.listing import Listing
from orchestrator.data.source import Source
from orchestrator.spec.card import ConverterName, DatasetCard

Converter = Callable[[DatasetCard, Path | None, Listing], Source]
"""Lists what a card wants of a source; the listing takes what is left out and every file that decides anything."""


def converter(name: str) -> Converter:
    """The converter of this name: `scan` of the module of that name, imported now; DataError where there is none."""
    known = get_args(ConverterName)
    if name not in known:
        raise DataError(f"no converter {name!r}", hint=f"there are {', '.join(sorted(known))}")
    scan: Converter = import_module(f"{__name__}.{name}").scan
    return scan
