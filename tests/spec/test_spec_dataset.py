"""What a word for a dataset stands for, in workloads, plans and `data` commands alike."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base.errors import NotFound, UsageError
from orchestrator.spec.dataset import NamedDataset, find_dataset
from orchestrator.spec.load import load_card
from orchestrator.spec.placement import INDEX_FILE, dataset_root

CARD = """
name: mine
title: My own
converter: image_folder
source: folder
columns: {image: {type: image}, label: {type: label, classes: [a, b]}}
splits: {train: train, test: test}
"""


def find(named: str, tmp_path: Path) -> NamedDataset:
    return find_dataset(named, workdir=tmp_path, state_dir=tmp_path / "state")


def built(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / INDEX_FILE).write_text("{}")
    return folder


def test_a_card_of_the_package_is_found_by_its_name(tmp_path: Path) -> None:
    found = find("digits", tmp_path)
    assert found.location == dataset_root(load_card("digits"), tmp_path / "state")
    assert found.buildable
    assert not found.built


def test_a_card_of_the_working_directory_comes_before_the_packages(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/digits.yaml").write_text(CARD)
    assert find("digits", tmp_path).name == "mine"


def test_a_cards_file_and_a_built_folder_are_meant_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards/mine.yaml").write_text(CARD)
    assert find("cards/mine.yaml", tmp_path).name == "mine"
    folder = built(tmp_path / "shards/mine")
    found = find("shards/mine", tmp_path)
    assert (found.location, found.card, found.built) == (folder, None, True)
    assert find(str(folder), tmp_path / "elsewhere").location == folder


def test_a_built_folder_comes_before_a_card_of_the_same_name(tmp_path: Path) -> None:
    assert find("digits", tmp_path).card is not None
    folder = built(tmp_path / "digits")
    assert find("digits", tmp_path).location == folder


def test_a_folder_that_only_has_the_name_of_a_card_hides_no_card(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    assert find("digits", tmp_path).card is not None


def test_a_folder_without_an_index_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "raw/images").mkdir(parents=True)
    with pytest.raises(NotFound, match=r"no dataset at .*raw/images: it has no index.json"):
        find("raw/images", tmp_path)


def test_an_unknown_name_is_refused_with_what_is_alike(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="digits"):
        find("digitz", tmp_path)


def test_a_url_is_taken_as_it_is_and_opened_by_nobody(tmp_path: Path) -> None:
    found = find("s3://bucket/data/cifar10/", tmp_path)
    assert (found.location, found.card, found.built) == ("s3://bucket/data/cifar10", None, True)


def test_a_file_url_is_its_folder(tmp_path: Path) -> None:
    folder = built(tmp_path / "shards")
    assert find(folder.as_uri(), tmp_path).location == folder
    with pytest.raises(NotFound, match="has no index"):
        find((tmp_path / "nothing").as_uri(), tmp_path)


@pytest.mark.parametrize(
    "url", ["simplecache::s3://bucket/x", "s3://key:secret@bucket/x", "s3://bucket/../x", "s3://bucket/x?a=b", "s3://"]
)
def test_a_url_that_does_more_than_name_a_place_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        find(url, tmp_path)
    assert "secret" not in str(refused.value)


def test_what_is_not_built_says_what_to_type(tmp_path: Path) -> None:
    assert "orchestrator data build cifar10 --source FOLDER" in str(find("cifar10", tmp_path).not_built())


def test_what_is_not_built_is_named_as_the_person_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "my card.yaml").write_text(CARD)
    assert "orchestrator data build 'my card.yaml' --source FOLDER" in str(find("my card.yaml", tmp_path).not_built())


def test_a_name_that_lacks_its_suffix_is_told_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "pets.yaml").write_text(CARD)
    with pytest.raises(NotFound, match=r"did you mean the file 'pets\.yaml'"):
        find("pets", tmp_path)


def test_finding_a_dataset_imports_nothing_that_reads_one() -> None:
    code = (
        "import sys; from pathlib import Path; from orchestrator.spec.dataset import find_dataset\n"
        "find_dataset('s3://b/x', workdir=Path(), state_dir=Path())\n"
        "print([m for m in ('fsspec', 's3fs', 'numpy', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
