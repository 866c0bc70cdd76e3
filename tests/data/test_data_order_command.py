import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.cli.main import run
from orchestrator.data.epochs import order_of
from orchestrator.data.order import Shuffle
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.resample import Resample

Ask = Callable[..., tuple[int, dict[str, Any]]]
Places = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """(arguments) -> exit code and document."""

    def call(*argv: str) -> tuple[int, dict[str, Any]]:
        code = run(["data", "order", *argv, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def places(ask: Ask) -> Places:
    """(arguments) -> the places that are found."""

    def call(*argv: str) -> list[dict[str, Any]]:
        code, document = ask(*argv)
        assert code == 0, document
        found: list[dict[str, Any]] = document["data"]["places"]
        return found

    return call


BATCHES = ("--batch-size", "8", "--slice", "3")


def test_a_row_is_where_the_order_puts_it(places: Places, small: Path) -> None:
    (found,) = places(str(small), "--row", "17", "--seed", "5", "--epoch", "2", "--shuffle", "window=2", *BATCHES)
    order = order_of(ShardedDataset(small, "train"), seed=5, epoch=2, shuffle=Shuffle("window", 2))
    position = order.places_of(17).tolist()[0]
    assert (found["position"], found["row"]) == (position, 17)
    assert (found["step"], found["place"]) == divmod(position, 8)
    assert (found["shard"], found["shard_row"]) == ("train-00002.arrow", 1)


def test_a_stretch_lists_what_stands_there(places: Places, small: Path) -> None:
    found = places(str(small), "--positions", "3:9", *BATCHES)
    order = order_of(ShardedDataset(small, "train"), seed=0, epoch=0, shuffle=Shuffle("full"))
    assert [place["position"] for place in found] == list(range(3, 9))
    assert [place["row"] for place in found] == order.rows_between(3, 9).tolist()


def test_ranks_share_the_slices_of_each_batch(places: Places, small: Path) -> None:
    found = places(str(small), "--positions", "0:8", "--world", "1,2,3,4", *BATCHES)
    assert [place["virtual_worker"] for place in found] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert [place["ranks"]["1"] for place in found] == [0] * 8
    assert [place["ranks"]["2"] for place in found] == [0] * 6 + [1] * 2
    assert [place["ranks"]["3"] for place in found] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert {place["ranks"]["4"] for place in found} == {None}  # more workers than slices are refused by a run


def test_a_resampled_row_is_named_at_each_of_its_places(places: Places, small: Path) -> None:
    resample = "square_root(column=label,threshold=0.9)"
    order = order_of(
        ShardedDataset(small, "train"), seed=0, epoch=0, shuffle=Shuffle("full"), resample=Resample.parse(resample)
    )
    rows = order.rows_between(0, order.positions)
    found = places(str(small), "--row", "3", "--resample", resample, *BATCHES)
    assert [place["position"] for place in found] == np.flatnonzero(rows == 3).tolist()
    assert len(found) >= 2


def test_a_sample_of_a_dropped_batch_has_no_step(places: Places, small: Path) -> None:
    (found,) = places(str(small), "--position", "19", "--last-batch", "drop", *BATCHES)
    assert (found["step"], found["counts"], found["ranks"]["1"]) == (None, False, None)


def test_a_sample_that_fills_up_the_last_batch_is_named_twice(places: Places, small: Path) -> None:
    found = places(str(small), "--position", "0", "--last-batch", "wrap", *BATCHES)
    assert [(place["step"], place["place"], place["counts"]) for place in found] == [(0, 0, True), (2, 4, True)]


def test_a_workload_says_how_its_epochs_are_made(ask: Ask, small: Path, tmp_path: Path) -> None:
    workload = Path(__file__).parents[2] / "workloads" / "regnet_sweep.yaml"
    code, document = ask(str(small), "--workload", str(workload), "--position", "0")
    assert code == 0
    assert document["data"]["shuffle"] == "full"
    assert document["data"]["batch_size"] != 256 or document["data"]["seed"] != 0


def test_text_names_the_epoch_and_a_line_for_each_place(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "order", str(small), "--positions", "0:2", "--world", "2", *BATCHES]) == 0
    out = capsys.readouterr().out
    assert "20 positions of 20 rows: 3 steps of 8 samples, 3 virtual workers" in out
    assert len(out.splitlines()) == 7


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--row", "20"], 5, "no row 20"),
        (["--position", "20"], 5, "no positions 20:21"),
        (["--positions", "9"], 2, "FROM:TO"),
        (["--positions", "0:200001"], 2, "at once"),
        (["--row", "1", "--position", "1"], 2, "only one"),
        (["--world", "0"], 2, "world sizes"),
        (["--shuffle", "some"], 2, "no shuffle"),
        (["--resample", "some"], 2, "no resampling"),
        (["--resample", "weights(column=image)"], 2, "cannot use column"),
        (["--split", "none"], 5, "no split"),
        (["--last-batch", "drop", "--batch-size", "21"], 2, "no whole batch"),
    ],
)
def test_what_makes_no_sense_is_refused(ask: Ask, small: Path, argv: list[str], code: int, said: str) -> None:
    found, document = ask(str(small), *argv)
    assert found == code
    assert said in document["error"]["message"]


def test_empty_cells_say_why_they_are_empty(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shuffle = ("--shuffle", "{window: 2}")
    assert run(["data", "order", str(small), "--positions", "15:20", "--last-batch", "drop", *shuffle, *BATCHES]) == 0
    out = capsys.readouterr().out
    assert "-: no world of 8: at most one rank for each of the 3 virtual workers (slices)" in out
    assert "-: in no batch, since the last batch of the epoch is left out" in out
