"""What runs on a GPU is tested on the CPU as the device, but for the decoder of the GPU itself (marker `gpu`)."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from simplejpeg import encode_jpeg

from orchestrator.base.errors import ShardCorrupt, UsageError
from orchestrator.data import gpu_decode
from orchestrator.data.decode import UndecodableImage, decode, encode_png
from orchestrator.data.gpu_decode import DeviceLoader, as_tensor, decode_batch
from orchestrator.data.header import Description
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.order import FULL
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Schema
from orchestrator.data.transform import Transform, augmentations
from orchestrator.data.writer import DatasetWriter

CPU = torch.device("cpu")
RANDOM = Transform(3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), augmentations=augmentations(pad_crop=1, flip=True))
ALL = np.arange(20, dtype=np.int64)


@pytest.fixture
def smooth() -> np.ndarray:
    ramp = np.linspace(0, 255, 32)
    return np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128.0), axis=2).astype(np.uint8)


def test_a_view_becomes_a_tensor_on_the_same_bytes() -> None:
    view = memoryview(b"0123456789")[3:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_tensor(view).data_ptr() == np.frombuffer(view, np.uint8).ctypes.data


def test_jpegs_and_other_formats_come_in_their_places(picture, smooth: np.ndarray) -> None:
    jpeg, png = encode_jpeg(smooth), encode_png(picture(1))
    found = decode_batch([memoryview(png), memoryview(jpeg), as_tensor(memoryview(png))], CPU)
    assert [tuple(image.shape) for image in found] == [(3, 6, 6), (3, 32, 32), (3, 6, 6)]
    assert (found[0].permute(1, 2, 0).numpy() == picture(1)).all()
    assert abs(found[1].permute(1, 2, 0).numpy().astype(int) - decode(jpeg, 3)).max() <= 3


def test_a_broken_image_is_told_and_the_others_are_decoded(smooth: np.ndarray) -> None:
    jpeg = encode_jpeg(smooth)
    broken, whole = decode_batch([memoryview(jpeg[:100]), memoryview(jpeg)], CPU)
    assert isinstance(broken, UndecodableImage)
    assert (whole.permute(1, 2, 0).numpy() == decode(jpeg, 3)).all()


def test_pixels_do_not_depend_on_a_neighbour_that_the_device_refuses(
    smooth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg = memoryview(encode_jpeg(smooth))
    handed_over = []
    monkeypatch.setattr(gpu_decode, "decode", lambda view, channels: handed_over.append(view) or decode(view, channels))
    whole, refused, other = decode_batch([jpeg, jpeg[:100], jpeg], CPU)
    assert torch.equal(whole, other)
    assert isinstance(refused, UndecodableImage)
    assert [len(view) for view in handed_over] == [100]


def test_nothing_is_decoded_of_nothing() -> None:
    assert decode_batch([], CPU) == []


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
def test_everything_but_the_decoder_has_the_bits_of_the_cpu(small: Path, pixels: str) -> None:
    options = {"seed": 5, "shuffle": FULL, "pixels": pixels}
    reference = BatchLoader(ShardedDataset(small, "train"), RANDOM, LoaderOptions(**options))
    loader = BatchLoader(ShardedDataset(small, "train"), RANDOM, LoaderOptions(**options, decode="gpu"))
    images, labels = DeviceLoader(loader, CPU).load(ALL, 2)
    expected, expected_labels = reference.load(ALL, 2)
    assert (images.numpy() == expected).all()
    assert images.dtype == getattr(torch, pixels)
    assert labels.tolist() == expected_labels.tolist()


def test_an_augmentation_that_is_known_to_the_cpu_only_is_computed_there(small: Path) -> None:
    class Negative:
        def apply(self, images: np.ndarray, words: np.ndarray) -> np.ndarray:
            return 255 - images

    transform = Transform(3, (0.0,) * 3, (1.0,) * 3, augmentations=(Negative(),))
    reference = BatchLoader(ShardedDataset(small, "train"), transform)
    loader = BatchLoader(ShardedDataset(small, "train"), transform, LoaderOptions(decode="gpu"))
    assert (DeviceLoader(loader, CPU).load(ALL, 0)[0].numpy() == reference.load(ALL, 0)[0]).all()


def test_images_are_resized_on_the_device(small: Path) -> None:
    transform = Transform(3, (0.0,) * 3, (1.0,) * 3, size=(4, 5))
    loader = BatchLoader(ShardedDataset(small, "train"), transform, LoaderOptions(decode="gpu"))
    assert DeviceLoader(loader, CPU).load(ALL, 0)[0].shape == (20, 3, 4, 5)
    assert DeviceLoader(loader, CPU).load(ALL[:0], 0)[0].shape == (0, 3, 4, 5)


@pytest.mark.parametrize("on_corrupt", ["fail", "skip"])
def test_an_image_that_was_written_broken_is_named_or_skipped(tmp_path: Path, picture, on_corrupt: str) -> None:
    with DatasetWriter(tmp_path / "d", Schema.of([("image", "image"), ("label", "label")]), Description(name="d")) as w:
        for label, content in enumerate((b"no image", encode_png(picture(1)))):
            w.write("train", {"image": content, "label": label})
    dataset = ShardedDataset(tmp_path / "d", "train", on_corrupt=on_corrupt)
    loader = DeviceLoader(BatchLoader(dataset, RANDOM, LoaderOptions(decode="gpu")), CPU)
    if on_corrupt == "fail":
        with pytest.raises(ShardCorrupt, match="row 0 of train"):
            loader.load(ALL[:2], 0)
    else:
        images, labels = loader.load(ALL[:2], 0)
        assert (images.shape, labels.tolist()) == ((1, 3, 6, 6), [1])


def test_decoders_are_never_mixed_up(small: Path) -> None:
    dataset = ShardedDataset(small, "train")
    with pytest.raises(UsageError, match="decodes on the CPU"):
        DeviceLoader(BatchLoader(dataset, RANDOM), CPU)
    with pytest.raises(UsageError, match="on a GPU"):
        BatchLoader(dataset, RANDOM, LoaderOptions(decode="gpu")).load(ALL, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_decodes_to_nearly_the_same_pixels(smooth: np.ndarray, picture) -> None:
    jpeg = encode_jpeg(smooth)
    first, second = decode_batch([memoryview(jpeg), memoryview(encode_png(picture(1)))], torch.device("cuda"))
    assert first.device.type == second.device.type == "cuda"
    assert abs(first.permute(1, 2, 0).cpu().numpy().astype(int) - decode(jpeg, 3)).max() <= 8
    assert (second.permute(1, 2, 0).cpu().numpy() == picture(1)).all()
