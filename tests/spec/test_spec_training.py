"""The sections `train` and `elastic` of a recipe: their defaults, short forms, and what is refused."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import SpecError
from orchestrator.spec.load import freeze_workload, parse_workload, thaw_workload
from orchestrator.spec.regnet import RegNetWorkload

REGNET = """\
name: one
recipe: regnet
data: {dataset: digits, image_size: 16}
model: {preset: regnetx_200mf}
optim: {lr: 0.1}
train:
  epochs: 2
  batch_size: 64
resources: {workers: 1..4}
"""


def regnet(*overrides: str) -> RegNetWorkload:
    workload = parse_workload(REGNET, "w.yaml", overrides)
    assert isinstance(workload, RegNetWorkload)
    return workload


def refusal(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        regnet(*overrides)
    return str(caught.value)


def test_a_run_is_exact_unless_it_says_otherwise() -> None:
    assert regnet().elastic.exact
    assert not regnet("elastic.exact=false").elastic.exact


def test_the_old_place_of_exact_names_the_new_one() -> None:
    assert "hint: it belongs in elastic" in refusal("train.exact=true")


def test_keep_is_a_number_or_rules() -> None:
    assert regnet("train.checkpoint.keep=5").train.checkpoint.keep.last == 5
    keep = regnet("train.checkpoint.keep={last: 3, best: error, every: 10}").train.checkpoint.keep
    assert (keep.last, keep.best, keep.every) == (3, "error", 10)


def test_the_default_keeps_the_two_newest_checkpoints_and_writes_one_in_ten_minutes() -> None:
    checkpoint = regnet().train.checkpoint
    assert (checkpoint.keep.last, checkpoint.every_epochs, checkpoint.every) == (2, 1, 600.0)


def test_the_best_checkpoint_is_by_a_measure_that_there_is() -> None:
    assert "train.checkpoint.keep.best: a classifier's measures are loss and error" in refusal(
        "train.checkpoint.keep={best: accuracy}"
    )


def test_batch_norm_and_slices_in_parts_are_refused_together() -> None:
    message = refusal("train.accumulate=2")
    assert "train.accumulate: a RegNet's batch norm needs all samples of a slice at once" in message
    assert "set train.samples_per_virtual_worker lower" in message


def test_a_slice_has_a_sample_for_each_of_its_parts() -> None:
    assert "a slice of 64 samples has no 100 parts" in refusal("train.accumulate=100")


def test_a_slice_is_never_larger_than_the_batch() -> None:
    train = regnet("train.samples_per_virtual_worker=100", "resources.workers=1").train
    assert (train.slice_samples, train.virtual_workers) == (64, 1)


def test_more_workers_than_virtual_workers_are_refused() -> None:
    message = refusal("resources.workers=3..4", "train.samples_per_virtual_worker=32")
    assert "resources.workers is at least 3" in message
    assert "2 virtual workers of 32" in message


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("train.parallel=fsdp", "a trial of a search has one worker"),
        ("train.checkpoint.to=/data", "trials of a search keep their checkpoints in the job's directory"),
    ],
)
def test_what_a_search_cannot_use_is_refused(override: str, rule: str) -> None:
    assert rule in refusal("model={}", "search.trials=2", override)


def test_a_rule_over_several_sections_points_at_the_key_to_change() -> None:
    text = REGNET.replace("batch_size: 64", "batch_size: 64\n  accumulate: 2")
    with pytest.raises(SpecError, match=r"w\.yaml:9:15: train\.accumulate"):
        parse_workload(text, "w.yaml")


def test_the_engine_that_keeps_the_workers_can_be_chosen_for_one_training() -> None:
    assert regnet().elastic.engine == "builtin"
    assert regnet("elastic.engine=ray_train").elastic.engine == "ray_train"
    assert "elastic.engine" in refusal("elastic.engine=ray")
    message = refusal("elastic.engine=ray_train", "model={}", "search.trials=2")
    assert "elastic.engine: ray_train runs one training" in message
    assert "a search has search.engine" in message


def test_all_of_it_survives_freezing() -> None:
    asked = regnet(
        "train.checkpoint={every: 5m, to: s3://bucket/checkpoints, keep: {last: 1, every: 5}}",
        "train.ema={decay: 0.999}",
        "train.parallel=fsdp",
        "elastic={lost_after: 3s, hang_after: 2m, replacements: 1, audit: true}",
    )
    assert thaw_workload(freeze_workload(asked)) == asked


@pytest.mark.parametrize("place", ["s3://bucket/checkpoints", "checkpoints", "file:///data/checkpoints"])
def test_checkpoints_go_to_a_folder_or_to_s3(place: str) -> None:
    assert regnet(f"train.checkpoint.to={place}").train.checkpoint.to == place


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("gs://bucket/checkpoints", "checkpoints go to a folder or to s3://, not to gs://"),
        ("s3://key:secret@bucket/x", "a checkpoint's s3 URL holds credentials"),
        ("s3://bucket/../other", "holds a step such as `..`"),
    ],
)
def test_a_place_where_checkpoints_cannot_go_is_refused(place: str, rule: str) -> None:
    message = refusal(f"train.checkpoint.to={place}")
    assert rule in message
    assert "train.checkpoint.to: " in message
