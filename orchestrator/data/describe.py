"""Says in words what a value is: the size of an image, the name of a class, the first tags of a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.base.text import one_line
from orchestrator.data.decode import image_size
from orchestrator.data.index import DatasetIndex
from orchestrator.data.schema import Column

_SHOWN = 4
_TEXT = 48


def names_of(index: DatasetIndex, column: Column) -> Sequence[str]:
    """What the numbers of a label or a list of numbers are called; empty where they have no names."""
    about = index.header.description
    named = about.attributes.get(f"{column.name}_names")
    if isinstance(named, list):
        return [str(name) for name in named]
    pairs = index.schema.pairs
    wanted = "label" if any(kind == "label" for _, kind in pairs) else "int64_list"
    of_kind = [name for name, kind in pairs if kind == wanted]
    # Of objects on images there are several lists: of labels, and of other numbers, which classes do not name.
    labels = [name for name in of_kind if name.endswith("labels")]
    return about.classes if column.name in (labels or of_kind[:1]) else ()


def describe(column: Column, value: Any, names: Sequence[str] = ()) -> str:
    """One value in words, on one line."""
    kind = column.kind
    if kind in ("image", "mask"):
        return _image(value)
    if kind == "video":
        return _video(value)
    if kind == "bytes":
        return _size(len(value))
    if kind == "masks":
        return f"{_count(len(value), 'mask')}, {_size(sum(map(len, value)))}" if value else "no masks"
    if kind == "boxes":
        return _boxes(value)
    if kind == "text":
        return one_line(value, _TEXT)
    if kind == "text_list":
        return _listed(value, len(value))
    if kind == "label":
        return f"{value} {_name(value, names)}".rstrip()
    if isinstance(value, np.ndarray):
        return _listed([_name(number, names) or _figure(number) for number in value[:_SHOWN].tolist()], len(value))
    return _figure(value)


def _image(value: memoryview) -> str:
    try:
        height, width = image_size(value)
    except DataError:
        return _size(len(value))
    return f"{width}x{height} {_size(len(value))}"


def _video(value: memoryview) -> str:
    from orchestrator.data.video import probe

    try:
        found = probe(value)
    except DataError:
        return _size(len(value))
    return f"{found.width}x{found.height} {found.frames} frames {found.seconds:.1f} s {_size(len(value))}"


def _boxes(value: np.ndarray[Any, Any]) -> str:
    if not len(value):
        return "no boxes"
    x, y, width, height = value[0].round(1).tolist()
    first = f"{width:g}x{height:g} at {x:g},{y:g}"
    return first if len(value) == 1 else f"{len(value)} boxes, {first}, …"


def _listed(shown: Sequence[Any], count: int) -> str:
    words = ", ".join(one_line(str(word), 24) for word in shown[:_SHOWN])
    more = f", … ({count:,})" if count > _SHOWN else ""
    return f"[{words}{more}]"


def _name(number: int | float, names: Sequence[str]) -> str:
    return one_line(names[int(number)], 40) if 0 <= number < len(names) else ""


def _figure(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.6g}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
