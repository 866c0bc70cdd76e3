import numpy as np
import pytest

from orchestrator.data.transform import HorizontalFlip, PadCrop, Transform, augmentations

IMAGES = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
POSITIONS = np.arange(200, dtype=np.int64)
PLAIN = Transform(3, (0.0,) * 3, (1.0,) * 3)


def augmenting(**keys: object) -> Transform:
    return Transform(3, (0.5,) * 3, (0.25,) * 3, augmentations=augmentations(**keys))


def test_an_augmented_image_does_not_depend_on_its_batch() -> None:
    transform = augmenting(pad_crop=2, flip=True)
    together = transform.augment(IMAGES, POSITIONS, seed=1, epoch=4)
    for place in (0, 17, 199):
        alone = transform.augment(IMAGES[place : place + 1], POSITIONS[place : place + 1], seed=1, epoch=4)
        assert (alone[0] == together[place]).all()


def test_epochs_and_seeds_augment_differently() -> None:
    transform = augmenting(pad_crop=2)
    first, epoch, seed = (transform.augment(IMAGES, POSITIONS, seed=s, epoch=e) for s, e in ((1, 0), (1, 1), (2, 0)))
    assert (first != epoch).any()
    assert (first != seed).any()


def test_an_image_that_comes_twice_gets_two_crops() -> None:
    same = np.repeat(IMAGES[:1], 50, axis=0)
    assert len(np.unique(augmenting(pad_crop=2).augment(same, POSITIONS[:50], seed=0, epoch=0), axis=0)) > 5


def test_augmentation_leaves_its_input_alone() -> None:
    before = IMAGES.copy()
    augmenting(pad_crop=2, flip=True).augment(IMAGES, POSITIONS, seed=0, epoch=0)
    assert (before == IMAGES).all()


def test_half_of_the_images_are_mirrored() -> None:
    flipped = augmenting(flip=True).augment(IMAGES, POSITIONS, seed=0, epoch=0)
    mirrored = (flipped == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (flipped == IMAGES).all(axis=(1, 2, 3))).all()
    assert 75 <= mirrored.sum() <= 125


def test_a_crop_is_one_of_the_places_of_the_padded_image() -> None:
    words = np.random.default_rng(1).integers(0, 2**32, (4, 200), dtype=np.uint32)
    cropped = PadCrop(1).apply(IMAGES, words)
    seen = set()
    for image, crop in zip(IMAGES, cropped, strict=True):
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
        places = [(y, x) for y in range(3) for x in range(3) if (padded[y : y + 8, x : x + 8] == crop).all()]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 9


def test_a_flip_that_is_certain_mirrors_all() -> None:
    words = np.full((4, 200), 2**32 - 1, dtype=np.uint32)
    assert (HorizontalFlip(1.0).apply(IMAGES, words) == IMAGES[:, :, ::-1]).all()


def test_normalised_pixels_have_the_stated_mean_and_deviation() -> None:
    mean = tuple((IMAGES / 255).mean(axis=(0, 1, 2)).tolist())
    std = tuple((IMAGES / 255).std(axis=(0, 1, 2)).tolist())
    normal = Transform(3, mean, std).normalise(IMAGES)
    assert normal.shape == (200, 3, 8, 8)
    assert normal.dtype == np.float32
    assert normal.transpose(0, 2, 3, 1).flags.c_contiguous
    assert np.allclose(normal.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    assert np.allclose(normal.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_normalising_does_not_depend_on_the_batch() -> None:
    transform = Transform(3, (0.1, 0.2, 0.3), (0.3, 0.2, 0.1))
    together = transform.normalise(IMAGES)
    for start, stop in ((0, 1), (3, 16), (7, 200)):
        assert (transform.normalise(IMAGES[start:stop]) == together[start:stop]).all()


def test_as_many_statistics_as_channels_are_needed() -> None:
    with pytest.raises(ValueError, match="3 channels"):
        Transform(3, (0.5,), (0.5,))
