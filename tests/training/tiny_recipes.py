"""The tiny recipes by name."""

from __future__ import annotations

from tiny_boxes import Boxes
from tiny_clips import Clips
from tiny_masked import Masked

RECIPES = {"masked": Masked(), "clips": Clips(), "boxes": Boxes()}
