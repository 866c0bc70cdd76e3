"""Draws a contact sheet: thumbnails of rows with their numbers, labels and boxes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from orchestrator.base.errors import DataError, UsageError
from orchestrator.base.text import one_line
from orchestrator.data.arrays import AnyArray, Bytes8
from orchestrator.data.decode import decode
from orchestrator.data.describe import describe, names_of
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Column

_CELL = 168
_MARGIN = 8
_LINE = 15
_CAPTION_LINES = 2
_COLUMNS = 8
_BACKGROUND, _FRAME, _INK, _FAINT = (255, 255, 255), (236, 236, 240), (24, 24, 32), (120, 120, 130)
# Distinguishable also by those who do not see all colours (Okabe and Ito's palette).
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))


@dataclass(frozen=True)
class _Drawn:
    """The columns that a sheet draws: what is seen, what names it, the boxes on it and their labels."""

    picture: Column
    caption: Column | None
    boxes: Column | None
    box_labels: Column | None


def contact_sheet(dataset: ShardedDataset, rows: Sequence[int]) -> bytes:
    """A PNG of some rows.

    Args:
        dataset: with a column of images or videos; of a video its first frame is shown.
        rows: which.

    Raises:
        UsageError: the dataset has nothing to see, or there are no rows.
    """
    drawn = _drawn(dataset)
    if drawn is None or not rows:
        columns = ", ".join(f"{name} ({kind})" for name, kind in dataset.schema.pairs)
        raise UsageError(
            f"there is nothing to draw: {'no column of images or videos' if drawn is None else 'no rows'}",
            hint=f"the columns are {columns}",
        )
    across = min(_COLUMNS, math.ceil(math.sqrt(len(rows) * 1.5)))
    height = _CELL + _CAPTION_LINES * _LINE + _MARGIN
    down = math.ceil(len(rows) / across)
    sheet = Image.new("RGB", (across * (_CELL + _MARGIN) + _MARGIN, down * height + _MARGIN), _BACKGROUND)
    for number, row in enumerate(rows):
        corner = (_MARGIN + number % across * (_CELL + _MARGIN), _MARGIN + number // across * height)
        _draw_row(sheet, corner, dataset, row, drawn)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _drawn(dataset: ShardedDataset) -> _Drawn | None:
    columns = dataset.schema.columns

    def first(*kinds: str) -> Column | None:
        return next((column for kind in kinds for column in columns if column.kind == kind), None)

    picture = first("image", "video")
    if picture is None:
        return None
    boxes = first("boxes")
    of_boxes = first("int64_list") if boxes is not None else None
    named = next((column for column in columns if names_of(dataset.index, column)), None)
    return _Drawn(picture, named or first("label", "text_list", "text"), boxes, of_boxes)


def _draw_row(sheet: Image.Image, corner: tuple[int, int], dataset: ShardedDataset, row: int, drawn: _Drawn) -> None:
    record = dataset.read(row)
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), fill=_FRAME)
    font = ImageFont.load_default(size=12)
    try:
        pixels = _pixels(drawn.picture, record[drawn.picture.name], dataset.index.header.description.channels)
    except DataError as error:
        draw.text((left + 4, top + 4), one_line(error.message, 24), fill=_INK, font=font)
    else:
        _place(sheet, corner, pixels, record, drawn)
    said = [f"row {row:,}"]
    if drawn.caption is not None:
        said.append(describe(drawn.caption, record[drawn.caption.name], names_of(dataset.index, drawn.caption)))
    for line, (words, colour) in enumerate(zip(said, (_FAINT, _INK), strict=False)):
        draw.text((left, top + _CELL + line * _LINE), _fitting(words, font), fill=colour, font=font)


def _pixels(column: Column, value: memoryview, channels: int) -> Bytes8:
    if column.kind == "image":
        return decode(value, channels)
    from orchestrator.data.video import first_frame

    return first_frame(value)


def _place(sheet: Image.Image, corner: tuple[int, int], pixels: Bytes8, record: dict[str, Any], drawn: _Drawn) -> None:
    """Put a picture into the middle of its cell, small ones enlarged in whole steps, and its boxes onto it."""
    height, width = pixels.shape[:2]
    scale = _CELL / max(height, width)
    scale = math.floor(scale) if scale >= 1 else scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    filtering = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    left, top = corner[0] + (_CELL - size[0]) // 2, corner[1] + (_CELL - size[1]) // 2
    sheet.paste(image.resize(size, filtering).convert("RGB"), (left, top))
    if drawn.boxes is not None:
        labels = record[drawn.box_labels.name] if drawn.box_labels is not None else np.empty(0)
        _draw_boxes(ImageDraw.Draw(sheet), (left, top), scale, record[drawn.boxes.name], labels)


def _draw_boxes(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], scale: float, boxes: AnyArray, labels: AnyArray
) -> None:
    for number, (x, y, width, height) in enumerate((boxes * scale).tolist()):
        label = int(labels[number]) if number < len(labels) else number
        left, top = corner[0] + x, corner[1] + y
        box = (left, top, left + max(width, 1), top + max(height, 1))
        draw.rectangle(box, outline=_COLOURS[label % len(_COLOURS)], width=2)


def _fitting(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of a line as fits under a thumbnail."""
    if font.getlength(words) <= _CELL:
        return words
    while words and font.getlength(words + "…") > _CELL:
        words = words[:-1]
    return words + "…"
