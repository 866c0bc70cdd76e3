from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from orchestrator.base.errors import DataError
from orchestrator.base.paths import bundled
from orchestrator.data.converters import converter
from orchestrator.data.schema import Schema
from orchestrator.spec.card import ConverterName, Given
from orchestrator.spec.load import load_card

CARDS = sorted(bundled("datasets").glob("*.yaml"))


def test_each_of_the_named_data_sets_has_a_card() -> None:
    images = {"digits", "cifar10", "imagenet1k", "hashtags", "yfcc100m", "coco2017", "lvis-v1"}
    videos = {"kinetics400", "something-something-v2"}
    assert images | videos <= {path.stem for path in CARDS}


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_card_is_whole_and_names_a_converter(path: Path) -> None:
    card = load_card(path.stem)
    assert card.name == path.stem
    assert callable(converter(card.converter))
    assert Schema.of((name, column.type) for name, column in card.columns.items())
    assert card.description
    assert card.license or card.homepage
    assert card.citation
    assert card.statistics is not None
    if isinstance(card.splits, Given):
        assert set(card.rows) <= set(card.splits.names)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_the_head_of_a_card_says_how_to_build_it(path: Path) -> None:
    head = path.read_text().partition("\nname:")[0]
    card = load_card(path.stem)
    assert card.source == "bundled" or f"orchestrator data build {card.name} --source FOLDER" in head


@pytest.mark.parametrize("name", get_args(ConverterName))
def test_a_converter_is_the_scan_of_the_module_of_its_name(name: str) -> None:
    assert converter(name) is import_module(f"orchestrator.data.converters.{name}").scan


def test_an_unknown_converter_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match="no converter 'nope'") as caught:
        converter("nope")
    assert "webdataset" in caught.value.hint
