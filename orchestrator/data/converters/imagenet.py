"""ImageNet's own layout (ILSVRC2012): training images by synset, validation images flat with the development kit.

    <source>/train/<wnid>/*.JPEG
    <source>/val/*.JPEG                with <source>/[ILSVRC2012_devkit_t12/]data/, or
    <source>/val/<wnid>/*.JPEG         as many sort them

A class's number is the rank of its synset's WordNet id among all, as everywhere in the field. The kit numbers its
synsets otherwise (1 is the kit fox, not the tench); its numbers only tell which synset a validation image shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.base.errors import DataError
from orchestrator.data.converters.class_folders import (
    ImageFiles,
    folders_in,
    image_and_label,
    image_files,
    layout,
    list_classes,
    split_folder,
)
from orchestrator.data.converters.imagenet_devkit import Synsets, read_synsets, read_truth
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import source_folder, split_names
from orchestrator.data.source import Source
from orchestrator.spec.card import DatasetCard

_WNID = re.compile(r"n\d{8}")
_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the images; classes are WordNet ids: the card's, else the folders of the first split, sorted.

    The words of the synsets become the attribute `words`, in the order of the classes, where the kit is there.

    Raises:
        UsageError: no source was given.
        NotFound: a folder is absent, or the validation images lie flat and the kit is not there.
        DataError: the kit is damaged, or there are no images.
    """
    root, listing = source_folder(card, source), listing or Listing()
    images = ImageFiles(root, image_and_label(card))
    folders = split_names(card)
    synsets = read_synsets(root, listing)
    classes = tuple(card.classes) or _synset_folders(root, folders[0])
    for folder in folders:
        if _is_flat(split_folder(root, folder)):
            _list_flat(root, folder, synsets, classes, images, listing)
        else:
            list_classes(root, folder, classes, images, listing, complete=folder == folders[0])
    samples = images.samples()
    if not samples:
        raise DataError(f"{source} holds no images", hint=f"expected {layout(folders[0])}")
    attributes = {"words": [synsets.words.get(wnid, "") for wnid in classes]} if synsets else {}
    return listing.source(classes, samples, attributes)


def _synset_folders(root: Path, folder: str) -> tuple[str, ...]:
    found = tuple(name for name in folders_in(split_folder(root, folder)) if _WNID.fullmatch(name))
    if not found:
        raise DataError(f"{root / folder} has no folder of a synset", hint="expected folders such as n01440764")
    return found


def _is_flat(place: Path) -> bool:
    return not any(_WNID.fullmatch(name) for name in folders_in(place))


def _list_flat(
    root: Path, folder: str, synsets: Synsets | None, classes: tuple[str, ...], images: ImageFiles, listing: Listing
) -> None:
    truth = _truth(root, synsets, listing)
    labels = {wnid: label for label, wnid in enumerate(classes)}
    absent = set(truth)
    for title, size in image_files(root, folder, listing):
        named = _VALIDATION.fullmatch(os.path.basename(title))
        number = int(named[1]) if named else 0
        absent.discard(number)
        if number not in truth:
            listing.add(title, "the development kit does not say what it shows")
        elif truth[number] not in labels:
            listing.add(title, f"it shows {truth[number]}, which is none of the classes")
        else:
            images.add(title, folder, labels[truth[number]], size)
    for number in sorted(absent):
        listing.add(
            os.path.join(folder, f"ILSVRC2012_val_{number:08d}.JPEG"), "the development kit names it: no such file"
        )


def _truth(root: Path, synsets: Synsets | None, listing: Listing) -> Mapping[int, str]:
    """The WordNet id of what each validation image shows, by the image's number."""
    numbers = read_truth(root, listing)
    if synsets is None:
        raise DataError(
            f"{root} has validation labels, but no meta.mat that says which synsets its numbers mean",
            hint="put meta.mat of ILSVRC2012_devkit_t12/data beside them",
        )
    unknown = sorted(set(numbers).difference(synsets.wnids))
    if unknown:
        raise DataError(
            f"the validation labels in {root} have the number {unknown[0]}, which no synset has",
            hint="take labels and meta.mat from the same development kit",
        )
    return {image: synsets.wnids[number] for image, number in enumerate(numbers, start=1)}
