"""What a record must stand before it becomes a row: its images decode, its videos are whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.data.decode import decode, image_size
from orchestrator.spec.card import DatasetCard

_PNG = b"\x89PNG"

Check = Callable[[Any], object]


@dataclass(frozen=True)
class Checks:
    """The checks of a card's columns.

    Args:
        images: names of image columns, and the channels that each is decoded to.
        videos: names of video columns.
        masks: names of mask columns; only those that are images are decoded.
    """

    images: Mapping[str, int]
    videos: tuple[str, ...]
    masks: tuple[str, ...]

    @classmethod
    def of(cls, card: DatasetCard) -> Checks:
        """Those that a card asks for."""
        kinds = {kind: tuple(name for name, c in card.columns.items() if c.type == kind) for kind in ("video", "mask")}
        images = {name: c.channels or 3 for name, c in card.columns.items() if c.type == "image"}
        return cls(images, kinds["video"], kinds["mask"])

    def columns(self) -> list[tuple[str, Check]]:
        """Each column that is checked, and its check, which raises DataError."""
        checks: list[tuple[str, Check]] = [(name, partial(_image, n)) for name, n in self.images.items()]
        checks += [(name, _mask) for name in self.masks]
        if self.videos:
            from orchestrator.data.video import probe

            checks += [(name, probe) for name in self.videos]
        return checks


def _image(channels: int, value: Any) -> None:
    image_size(value)
    decode(value, channels)


def _mask(value: Any) -> None:
    if bytes(value[: len(_PNG)]) == _PNG:
        _image(3, value)
