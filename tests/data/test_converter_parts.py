import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.base.errors import DataError
from orchestrator.data.converters import listing as listing_module
from orchestrator.data.converters.listing import Listing, OnDemand
from orchestrator.data.converters.places import contained, matching
from orchestrator.data.converters.values import MediaFolder, Names, Wanted, value_of
from orchestrator.data.source import BadSample, Sample, Skipped


def sample(place: int) -> Sample:
    return Sample(str(place), "", place, 1, dict)


def value(kind: Any, raw: Any, *names: str) -> Any:
    wanted = Wanted("it", kind, "it", names=Names({name: number for number, name in enumerate(names)}))
    return value_of(wanted, raw, MediaFolder("/nowhere"))


def test_past_a_limit_inputs_that_are_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "MOST_NAMED", 2)
    listing = Listing()
    for number in range(1500):
        listing.add(str(number), "absent")
    listing.add("x", "damaged")
    assert listing.skipped == (
        Skipped("0", "absent"),
        Skipped("1", "absent"),
        Skipped("x", "damaged"),
        Skipped("1,498 more", "absent", 1498),
    )


def test_the_names_of_all_reasons_together_and_the_reasons_are_limited_and_no_count_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing_module, "MOST_NAMED_IN_ALL", 1)
    monkeypatch.setattr(listing_module, "MOST_COUNTED", 2)
    listing = Listing()
    for number in range(5):
        listing.add("some", f"reason {number}", 10)
    assert listing.skipped == (
        Skipped("some", "reason 0", 10),
        Skipped("10 more", "reason 1", 10),
        Skipped("10 more", "reason 2", 10),
        Skipped("20 more", "left out for further reasons", 20),
    )


def test_samples_on_demand_are_a_sequence() -> None:
    samples = OnDemand(5, sample)
    assert len(samples) == 5
    assert [one.stratum for one in samples] == [0, 1, 2, 3, 4]
    assert samples[-1].stratum == 4
    assert [one.stratum for one in samples[1:4:2]] == [1, 3]
    for outside in (5, -6):
        with pytest.raises(IndexError):
            samples[outside]


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("label", 3, 3),
        ("label", "b", 1),
        ("label", "0", 0),
        ("label", -1, -1),
        ("int64", "7", 7),
        ("int64", 7.0, 7),
        ("float64", "1.5", 1.5),
        ("text", None, ""),
        ("text", b"caf\xc3\xa9", "café"),
        ("text", 5, "5"),
        ("text_list", "a, b,,c", ["a", "b", "c"]),
        ("text_list", None, []),
        ("text_list", ["a", None], ["a"]),
        ("masks", [b"one", b""], [b"one", b""]),
    ],
)
def test_values_of_tables_become_values_of_columns(kind: str, raw: Any, expected: Any) -> None:
    assert value(kind, raw, "a", "b", "c", "d") == expected


@pytest.mark.parametrize(
    ("kind", "raw", "dtype", "shape"),
    [
        ("int64_list", [1, 2], np.int64, (2,)),
        ("int64_list", "b,zz,a,b", np.int64, (2,)),
        ("float32_list", [0.5], np.float32, (1,)),
        ("float64_list", None, np.float64, (0,)),
        ("boxes", [[1, 2, 3, 4], [5, 6, 7, 8]], np.float64, (2, 4)),
        ("boxes", None, np.float64, (0, 4)),
    ],
)
def test_lists_of_numbers_become_arrays(kind: str, raw: Any, dtype: type, shape: tuple[int, ...]) -> None:
    made = value(kind, raw, "a", "b")
    assert (made.dtype, made.shape) == (dtype, shape)


def test_a_number_that_is_absent_is_nan() -> None:
    assert math.isnan(value("float64", None))
    assert math.isnan(value("float64", ""))


@pytest.mark.parametrize(
    ("kind", "raw", "reason"),
    [
        ("label", 2, "no class 2: the last one is 1"),
        ("label", "zebra", "'zebra' is no class"),
        ("label", None, "has no it"),
        ("int64", 1.5, "cannot be int64"),
        ("int64", "one", "cannot be int64"),
        ("int64", float("inf"), "cannot be int64"),
        ("float64", [1], "cannot be float64"),
        ("boxes", [[1, 2, 3]], "cannot be boxes"),
        ("text_list", 5, "holds int, not a list"),
        ("int64_list", "zz", "none of its it is in the vocabulary"),
        ("image", None, "has no image"),
        ("image", 5, "holds int, no file"),
        ("image", "/etc/hostname", "absolute"),
        ("image", "a/../../b.jpg", "leads out of the source"),
        ("image", "a\0b", "NUL"),
        ("image", {"bytes": None, "path": None}, "has no image"),
    ],
)
def test_values_that_a_column_cannot_hold_are_bad_samples(kind: str, raw: Any, reason: str) -> None:
    with pytest.raises(BadSample, match=reason):
        value(kind, raw, "a", "b")


def test_a_path_through_a_linked_folder_stays_inside_or_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "source"
    (root / "real").mkdir(parents=True)
    (root / "inner").symlink_to(root / "real")
    (root / "outer").symlink_to(tmp_path)
    assert contained(str(root), "inner/x.jpg") == f"{root}/inner/x.jpg"
    with pytest.raises(BadSample, match="leads out"):
        contained(str(root), "outer/x.jpg")


def test_files_behind_links_out_of_the_source_are_listed(tmp_path: Path) -> None:
    root = tmp_path / "source"
    (root / "some").mkdir(parents=True)
    (tmp_path / "secret.tar").touch()
    (root / "some/a.tar").touch()
    (root / "some/b.tar").symlink_to(tmp_path / "secret.tar")
    (root / "out").symlink_to(tmp_path)
    (root / "some/loop.tar").symlink_to(root / "some/loop.tar")
    listing = Listing()
    assert matching(root, "*/*.tar", listing) == [root / "some/a.tar"]
    assert {entry.name for entry in listing.skipped} == {"some/b.tar", "out/secret.tar", "some/loop.tar"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{8..10}.tar", ["10.tar"]),
        ("{08,11}.t{ar,gz}", ["08.tar", "11.tar"]),
        ("{10,1?}.tar", ["10.tar", "11.tar"]),
    ],
)
def test_braces_name_files(tmp_path: Path, pattern: str, names: list[str]) -> None:
    for number in range(8, 12):
        (tmp_path / f"{number:02d}.tar").touch()
    assert [path.name for path in matching(tmp_path, pattern, Listing())] == names


def test_a_pattern_of_too_many_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 1,000,000"):
        matching(tmp_path, "{0..999}{0..999}{0..999}.tar", Listing())
