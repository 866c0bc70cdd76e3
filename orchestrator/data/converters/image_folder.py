"""Folders of images: `<source>/<split>/<class>/*.jpg`, or `<source>/<class>/*.jpg` where the card cuts the splits."""

from __future__ import annotations

from pathlib import Path

from orchestrator.base.errors import DataError
from orchestrator.data.converters.class_folders import (
    ImageFiles,
    folders_in,
    image_and_label,
    layout,
    list_classes,
    split_folder,
)
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import source_folder, split_names
from orchestrator.data.source import Source
from orchestrator.spec.card import DatasetCard


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """List the images of a folder by the names of its folders; encoded bytes are kept as they are.

    Classes are those of the card, else the folders of the first split.

    Raises:
        UsageError: no source was given.
        NotFound: the source, a split's folder or a class's folder is absent.
        DataError: there is no image in it.
    """
    root, listing = source_folder(card, source), listing or Listing()
    images = ImageFiles(root, image_and_label(card))
    folders = split_names(card)
    classes = tuple(card.classes) or folders_in(split_folder(root, folders[0]))
    for folder in folders:
        list_classes(root, folder, classes, images, listing, complete=folder == folders[0])
    samples = images.samples()
    if not samples:
        raise DataError(f"{source} holds no images", hint=f"expected {layout(folders[0])}")
    return listing.source(classes, samples)
