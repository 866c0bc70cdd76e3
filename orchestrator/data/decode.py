"""Decodes encoded images to arrays: JPEG by simplejpeg (libjpeg-turbo), everything else by Pillow."""

from __future__ import annotations

import io
import warnings

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Bytes8

_JPEG = b"\xff\xd8\xff"
_MODES = {1: "L", 3: "RGB"}
_COLOURS = {1: "GRAY", 3: "RGB"}
_DEEP_MODES = ("I", "F")
_MOST_PIXELS = 1 << 28
_FAILURES = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class UndecodableImage(DataError):
    """The bytes are no image that can be decoded."""

    code = "undecodable_image"


def decode(encoded: bytes | memoryview, channels: int) -> Bytes8:
    """The pixels of an encoded image.

    Args:
        encoded: a JPEG, PNG or whatever else Pillow reads.
        channels: 1 for luminance, 3 for RGB; the image is converted.

    Returns:
        (H, W, channels) uint8.

    Raises:
        UndecodableImage: damaged, truncated, deeper than 8 bits, or of an unknown format.
    """
    view = memoryview(encoded).cast("B")  # simplejpeg refuses views of anything but plain bytes
    if view[:3] == _JPEG:
        try:
            pixels = simplejpeg.decode_jpeg(view, colorspace=_COLOURS[channels])
        except ValueError:  # CMYK, or a flaw that Pillow knows how to survive or to name
            return _with_pillow(view, channels)
        return np.asarray(pixels)
    return _with_pillow(view, channels)


def decode_onto(encoded: memoryview, out: Bytes8) -> Bytes8:
    """The pixels of an encoded image, written to `out` by the decoder itself where they have its size.

    Nothing is allocated or copied then.

    Args:
        encoded: a JPEG, PNG or whatever else Pillow reads.
        out: (H, W, C) uint8, contiguous, the image's place in a batch; C is 1 or 3.

    Returns:
        `out` itself, or an array of its own where the image has another size or is no JPEG; `out` is undefined then.

    Raises:
        UndecodableImage: as `decode`.
    """
    channels = out.shape[2]
    if encoded[:3] == _JPEG:
        try:
            pixels = simplejpeg.decode_jpeg(encoded, _COLOURS[channels], buffer=out)
        except ValueError:  # the place is too small, which is known before anything is decoded; or as in `decode`
            return decode(encoded, channels)
        return out if pixels.shape == out.shape else np.array(pixels)  # a smaller image filled but a part of it
    return decode(encoded, channels)


def image_size(encoded: bytes | memoryview) -> tuple[int, int]:
    """Height and width of an encoded image from its header alone.

    Raises:
        UndecodableImage: no known header, or more pixels than any image should have (a decompression bomb).
    """
    height, width = _stated_size(memoryview(encoded).cast("B"))
    if width * height > _MOST_PIXELS:
        raise UndecodableImage(f"an image of {width} x {height} pixels; the most is {_MOST_PIXELS} pixels")
    return height, width


def _stated_size(view: memoryview) -> tuple[int, int]:
    if view[:3] == _JPEG:
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(view)
            return int(height), int(width)
        except ValueError:  # Pillow knows how to survive it or to name it
            pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(view)) as image:
                return image.size[1], image.size[0]
    except _FAILURES as error:
        raise _undecodable(error) from error


def encode_png(pixels: Bytes8) -> bytes:
    """A lossless PNG of (H, W) or (H, W, 3) uint8; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def resize(pixels: Bytes8, height: int, width: int) -> Bytes8:
    """Bilinear resize of (H, W, C) uint8 with antialiasing where it shrinks (Pillow's BILINEAR)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    channels = pixels.shape[2]
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, channels)


def _with_pillow(view: memoryview, channels: int) -> Bytes8:
    try:
        with Image.open(io.BytesIO(view)) as image:
            if image.mode.startswith(_DEEP_MODES):
                raise UndecodableImage(f"an image of mode {image.mode}: more than 8 bits a channel")
            pixels = np.asarray(image.convert(_MODES[channels]))
    except _FAILURES as error:
        raise _undecodable(error) from error
    return pixels.reshape(*pixels.shape[:2], channels)


def _undecodable(error: Exception) -> UndecodableImage:
    if isinstance(error, UnidentifiedImageError):  # Pillow's own message holds an address in memory
        return UndecodableImage("not an image of a known format")
    return UndecodableImage(f"not a whole image: {error}")
