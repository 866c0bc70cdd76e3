import io

import numpy as np
import pytest
from PIL import Image

from orchestrator.data.decode import UndecodableImage, decode, encode_png, image_size, resize

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, form: str, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, form)
    return buffer.getvalue()


def test_a_png_comes_back_exactly() -> None:
    assert (decode(encode_png(PIXELS), 3) == PIXELS).all()
    grey = decode(encode_png(PIXELS[:, :, 0]), 1)
    assert grey.shape == (6, 9, 1)
    assert (grey[:, :, 0] == PIXELS[:, :, 0]).all()


def test_a_jpeg_is_decoded_as_libjpeg_does() -> None:
    content = encoded(PIXELS, "JPEG")
    ours = decode(memoryview(content), 3).astype(int)
    theirs = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert np.abs(ours - theirs).max() <= 2


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "P"), ("PNG", "RGBA"), ("PNG", "L"), ("JPEG", "L"), ("JPEG", "CMYK")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_every_colour_mode_are_converted(form: str, mode: str, channels: int) -> None:
    assert decode(encoded(PIXELS, form, mode), channels).shape == (6, 9, channels)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_truncated_image_is_refused(form: str) -> None:
    content = encoded(np.tile(PIXELS, (20, 20, 1)), form)
    with pytest.raises(UndecodableImage):
        decode(content[: len(content) // 2], 3)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(UndecodableImage):
        decode(content, 3)
    with pytest.raises(UndecodableImage):
        image_size(content)


def test_sixteen_bits_a_channel_are_refused() -> None:
    with pytest.raises(UndecodableImage, match="more than 8 bits"):
        decode(encoded(np.zeros((4, 4), np.uint16), "PNG"), 1)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    tiny = bytearray(encode_png(np.zeros((1, 1), np.uint8)))
    tiny[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(UndecodableImage):
        image_size(bytes(tiny))


def test_the_size_is_height_and_width() -> None:
    assert image_size(encode_png(PIXELS)) == (6, 9)


def test_a_resize_keeps_a_flat_image_flat_and_the_channels() -> None:
    flat = np.full((8, 8, 1), 77, np.uint8)
    assert (resize(flat, 16, 12) == np.full((16, 12, 1), 77)).all()
    assert resize(PIXELS, 6, 9) is PIXELS
