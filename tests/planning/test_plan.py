"""What `orchestrator plan` says, and what submit refuses, without anything started."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import OrchestratorError, SpecError, UsageError
from orchestrator.base.paths import bundled
from orchestrator.planning.check import check_submission
from orchestrator.planning.document import PlanDocument
from orchestrator.planning.launch import kind_of, launch_for
from orchestrator.planning.plan import make_plan
from orchestrator.rundir.launch import Launch
from orchestrator.spec.load import load_profile, parse_workload
from orchestrator.spec.profile import ClusterProfile
from orchestrator.spec.workload import Workload
from orchestrator.testing.workloads import workload_in

SWEEP = bundled("workloads") / "regnet_sweep.yaml"
TRAINING = bundled("workloads") / "regnet_cifar10.yaml"
Check = Callable[..., list[str]]


@pytest.fixture
def profile() -> ClusterProfile:
    return load_profile(bundled("cluster") / "local.yaml")


@pytest.fixture
def plan(profile: ClusterProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlanDocument]:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    backend = LocalBackend(profile, state=tmp_path / "state", slots=tmp_path / "slots")

    def make(path: Path, *overrides: str) -> PlanDocument:
        return make_plan(workload_in(path, overrides), profile, backend, workdir=tmp_path)

    return make


@pytest.fixture
def check(profile: ClusterProfile, tmp_path: Path) -> Check:
    def refuse(workload: Workload, *, slots: int = 2, kind: str = "cpu") -> list[str]:
        capacity = Capacity(slots=slots, free=slots, largest_gang=slots, slot_kind=kind)
        return check_submission(workload, profile, capacity, workdir=tmp_path, state_dir=tmp_path / "state")

    return refuse


def command(text: str) -> Workload:
    return parse_workload(text, "w.yaml")


def test_a_search_is_planned_to_the_last_number(plan: Callable[..., PlanDocument]) -> None:
    document = plan(SWEEP)
    assert document.kind == "regnet search"
    assert document.population is not None
    population = document.population
    assert (population.size, len(population.members)) == (24, 24)
    flops = sorted(m.flops for m in population.members)
    assert (population.flops.min, population.flops.max) == (flops[0], flops[-1])
    assert population.flops.median == (flops[11] + flops[12]) / 2
    assert all(1e6 <= f <= 3e6 for f in flops)
    assert population.draws == 24 + sum(population.rejected.values())
    training = document.training
    assert training is not None
    assert (training.samples, training.steps_per_epoch, training.steps) == (1078, 17, 17 * 12)
    assert training.total_flops == 3 * sum(flops) * 1078 * 12


def test_the_learning_rate_is_told_at_its_turning_points(plan: Callable[..., PlanDocument]) -> None:
    rate = plan(SWEEP).learning_rate
    assert rate is not None
    assert rate.at[0] == {"step": 0, "samples": 0, "lr": pytest.approx(0.1 * 0.05)}
    assert [p["step"] for p in rate.at] == [0, 50, 102, 203]
    assert rate.at[2]["samples"] == 6 * 1078
    assert rate.at[2]["lr"] == pytest.approx(0.025)


def test_how_a_training_is_shared_is_told_for_each_world_size(plan: Callable[..., PlanDocument]) -> None:
    document = plan(TRAINING, "resources.workers=1..4", "train.parallel=fsdp", "train.precision=bf16")
    elastic = document.elastic
    assert elastic is not None
    assert elastic.workers == "1..4"
    assert elastic.passes == {1: 4, 2: 2, 3: 2, 4: 1}
    text = document.render()
    assert "sharded (fsdp), bf16, channels last" in text
    assert "4 passes on 1 worker, 2 passes on 2..3 workers, 1 pass on 4 workers" in text
    assert "the same bits for any number of workers" in text


def test_when_checkpoints_are_written_and_what_stays_is_told(plan: Callable[..., PlanDocument]) -> None:
    rules = "train.checkpoint={every: 5m, keep: {last: 3, best: error, every: 10}, to: s3://bucket/runs}"
    text = plan(TRAINING, rules).render()
    assert "every epoch and every 5 min; keeps the newest 3, that of the best error, those of every 10 epochs" in text
    assert "in s3://bucket/runs" in text


def test_a_training_that_is_cut_short_is_planned_so(plan: Callable[..., PlanDocument]) -> None:
    training = plan(TRAINING, "train.max_steps=5").training
    assert training is not None
    assert training.steps == 5


def test_the_trials_of_a_search_share_no_step(plan: Callable[..., PlanDocument]) -> None:
    assert plan(SWEEP).elastic is None


def test_a_training_is_launched_elastic_and_a_search_or_a_command_is_not() -> None:
    def launch(workload: Workload) -> Launch:
        return launch_for(workload, job="j-1", run="j-1-r1", token=1, workers=3, workdir="/")

    asked = workload_in(TRAINING, ["resources.workers=2..4", "elastic={lost_after: 3, replacements: 1}"])
    training = launch(asked)
    assert (training.elastic, training.workers, training.min_workers) == (True, 3, 2)
    assert (training.lost_after, training.hang_after, training.replacements) == (3.0, 300.0, 1)
    assert not launch(workload_in(SWEEP)).elastic
    assert not launch(command("name: w\ncommand: [a]")).elastic


def test_the_very_command_is_told_and_nothing_is_written(plan: Callable[..., PlanDocument], tmp_path: Path) -> None:
    document = plan(SWEEP)
    assert document.launch.argv[:2] == [sys.executable, "-P"]
    assert document.launch.rank_argv == [sys.executable, "-P", "-m", "orchestrator.search.main"]
    assert not (tmp_path / "state" / "runs").exists()


def test_one_model_is_planned_from_its_preset(plan: Callable[..., PlanDocument], tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(
        "name: one\nrecipe: regnet\ndata: {dataset: digits, image_size: 224}\nmodel: {preset: regnetx_400mf}\n"
        "optim: {lr: 0.1}\ntrain: {epochs: 1, batch_size: 100, samples_per_virtual_worker: 30}\n"
    )
    document = plan(path)
    assert document.population is None
    assert document.model is not None
    assert document.model.depths == [1, 2, 7, 12]
    assert document.training is not None
    assert document.training.virtual_workers == 4


def test_a_text_for_people_names_every_part(plan: Callable[..., PlanDocument]) -> None:
    text = plan(SWEEP).render()
    for part in ("dataset", "population", "flops", "params", "activations", "training", "lr", "workers", "command"):
        assert part in text


def test_a_command_is_planned_without_any_recipe(plan: Callable[..., PlanDocument]) -> None:
    document = plan(bundled("workloads") / "command.yaml")
    assert (document.kind, document.training, document.dataset) == ("command", None, None)
    assert document.launch.rank_argv[:3] == ["/bin/sh", "-e", "-c"]


def test_a_search_is_one_driver_on_all_slots() -> None:
    workload = workload_in(SWEEP)
    launch = launch_for(workload, job="j-1", run="j-1-r1", token=1, workers=2, workdir="/")
    assert launch.ranks_share_slots
    assert kind_of(workload) == "regnet search"
    assert launch.joiner_argv[-1] == "orchestrator.onray.join"
    assert not launch.array


def test_every_process_of_a_search_runs_by_the_interpreter_of_its_nodes() -> None:
    def launch(*overrides: str) -> Launch:
        workload = workload_in(SWEEP, overrides)
        return launch_for(
            workload, job="j-1", run="j-1-r1", token=1, workers=2, workdir="/", python="/nodes/bin/python"
        )

    driven, array = launch(), launch("search.engine=array")
    assert {argv[0] for argv in (driven.argv, driven.joiner_argv, array.argv)} == {"/nodes/bin/python"}


def test_a_search_without_ray_is_an_array_of_workers() -> None:
    workload = workload_in(SWEEP, ["search.engine=array"])
    launch = launch_for(workload, job="j-1", run="j-1-r1", token=1, workers=2, workdir="/")
    assert (launch.array, launch.ranks_share_slots, launch.joiner_argv) == (True, False, ())
    assert launch.argv[-1] == "orchestrator.search.array"


def test_more_workers_than_the_largest_cluster_are_refused(check: Check) -> None:
    with pytest.raises(UsageError, match="needs at least 3 cpu slots; cluster local has 2"):
        check(command("name: w\ncommand: [a]\nresources: {workers: 3..9}"))


def test_cores_of_all_workers_together_are_counted(check: Check) -> None:
    with pytest.raises(UsageError, match="needs at least 4 cpu slots"):
        check(command("name: w\ncommand: [a]\nresources: {workers: 2, cpus_per_worker: 2}"))


def test_gpus_on_a_cluster_without_any_are_refused(check: Check) -> None:
    with pytest.raises(UsageError, match="has no GPU"):
        check(command("name: w\ncommand: [a]\nresources: {gpus_per_worker: 1}"))


def test_a_range_wider_than_the_cluster_is_a_warning(check: Check) -> None:
    (warning,) = check(command("name: w\ncommand: [a]\nresources: {workers: 1..8}"))
    assert "room for 2" in warning


def test_a_working_directory_that_is_not_there_is_refused(check: Check) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check(command("name: w\ncommand: [a]\nworkdir: /nowhere/at/all"))


def test_a_relative_working_directory_is_launched_where_it_was_checked(check: Check, tmp_path: Path) -> None:
    workload = command("name: w\ncommand: [a]\nworkdir: sub/folder")
    with pytest.raises(UsageError, match=f"{tmp_path}/sub/folder does not exist"):
        check(workload)
    (tmp_path / "sub/folder").mkdir(parents=True)
    check(workload)
    launch = launch_for(workload, job="j-1", run="j-1-r1", token=1, workers=1, workdir=str(tmp_path))
    assert launch.workdir == str(tmp_path / "sub/folder")


def test_an_absolute_working_directory_is_taken_as_it_is() -> None:
    workload = command("name: w\ncommand: [a]\nworkdir: /usr")
    assert launch_for(workload, job="j-1", run="j-1-r1", token=1, workers=1, workdir="/srv").workdir == "/usr"


def test_a_command_runs_with_the_submitters_path_and_its_own_env_wins() -> None:
    shell = {"PATH": "/tools/bin", "VIRTUAL_ENV": "/tools"}

    def environment(workload: Workload) -> dict[str, str]:
        place = {"job": "j-1", "run": "j-1-r1", "workdir": "/"}
        return dict(launch_for(workload, token=1, workers=1, environment=shell, **place).env)

    assert environment(command("name: w\ncommand: [a]")) == shell
    own = command("name: w\ncommand: [a]\nenv: {PATH: /mine, A: b}")
    assert environment(own) == {"PATH": "/mine", "A": "b", "VIRTUAL_ENV": "/tools"}
    assert environment(workload_in(SWEEP)) == {}


def test_the_plan_of_a_command_shows_what_it_takes_over_from_the_shell(
    plan: Callable[..., PlanDocument], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_PREFIX", "/conda")
    assert plan(bundled("workloads") / "command.yaml").launch.rank_env["CONDA_PREFIX"] == "/conda"


def test_an_unknown_dataset_is_refused_with_what_is_alike(check: Check) -> None:
    with pytest.raises(OrchestratorError, match="digits"):
        check(workload_in(SWEEP, ["data.dataset=digitz"]))


def test_a_dataset_that_is_not_built_is_refused_with_the_command_that_builds_it(check: Check) -> None:
    with pytest.raises(UsageError, match="orchestrator data build cifar10 --source"):
        check(workload_in(bundled("workloads") / "regnet_cifar10.yaml"))


def test_a_space_that_holds_no_such_model_is_refused(check: Check) -> None:
    with pytest.raises(UsageError, match="flops"):
        check(workload_in(SWEEP, ["search.constraints.flops=1..2", "search.max_draws=500"]))


ONE = (
    "name: one\nrecipe: regnet\ndata: {{dataset: digits, image_size: 16}}\nmodel: {{preset: regnetx_200mf}}\n"
    "optim: {{lr: 0.1{optim}}}\ntrain: {{epochs: 4, batch_size: 64{train}}}\nresources: {{workers: {workers}}}\n"
)


def test_no_more_workers_than_virtual_workers_are_used(check: Check) -> None:
    workload = command(ONE.format(optim="", train=", samples_per_virtual_worker: 32", workers="1..4"))
    assert (workload.workers.min, workload.workers.max) == (1, 2)
    assert check(workload, slots=8) == [
        "resources.workers asks for up to 4; "
        "with 2 virtual workers (train.samples_per_virtual_worker) at most 2 are used"
    ]


def test_a_gang_larger_than_the_virtual_workers_is_refused() -> None:
    with pytest.raises(SpecError, match="into 1 virtual worker of 64"):
        command(ONE.format(optim="", train="", workers="2"))


@pytest.mark.parametrize(
    ("optim", "said"),
    [
        (", momentum: 0", "nesterov has no effect"),
        (", schedule: step, steps: [2, 4]", "[4] lie beyond the 4 epochs"),
        (", warmup_iterations: 500", "is 500 of 68 steps"),
        (", warmup_epochs: 5", "steps: optim.lr is never reached"),
    ],
)
def test_a_setting_without_effect_is_a_warning(check: Check, optim: str, said: str) -> None:
    (warning,) = check(command(ONE.format(optim=optim, train="", workers="1")))
    assert said in warning


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("batch_size: 64, samples_per_virtual_worker: 24", "slices of 24 leave 16 of 64 for the last one"),
        ("batch_size: 64, samples_per_virtual_worker: 96", "is 96, more than the batch: its 64 samples are one slice"),
        ("batch_size: 2000", "is 2,000, and digits has 1,078 training samples: a step takes them all"),
    ],
)
def test_sizes_that_do_not_fit_are_a_warning(check: Check, train: str, said: str) -> None:
    text = ONE.format(optim="", train="", workers="1").replace("batch_size: 64", train)
    (warning,) = check(command(text))
    assert said in warning


@pytest.mark.parametrize(
    ("optim", "line"),
    [
        ([], "sgd, momentum 0.9 (nesterov), velocity plain, weight decay 0.0005 but for norms and biases"),
        (["momentum=0"], "sgd, momentum 0, weight decay 0.0005 but for norms and biases, no layer decay"),
        (
            ["optimizer=adamw", "undecayed=nothing", "layer_decay=0.75"],
            "adamw, betas 0.9 0.999, weight decay 0.0005, layer decay 0.75",
        ),
        (
            ["optimizer=lars", "velocity=corrected", "weight_decay=0"],
            "lars, momentum 0.9, velocity corrected, no weight decay, no layer decay",
        ),
    ],
)
def test_the_optimizer_is_told_in_a_line(plan: Callable[..., PlanDocument], optim: list[str], line: str) -> None:
    text = plan(SWEEP, *(f"optim.{one}" for one in optim)).render()
    assert f"  optimizer  {line}" in text


def test_large_numbers_of_a_plan_have_separators(plan: Callable[..., PlanDocument]) -> None:
    text = plan(SWEEP, "train.epochs=2000", "optim.warmup_iterations=1500").render()
    assert "2,000 epochs x 17 steps = 34,000 steps" in text
    assert "1,500 iterations of warm-up" in text
    assert "step 17,000: " in text


def test_a_number_of_workers_that_is_no_range_is_told_as_one(plan: Callable[..., PlanDocument]) -> None:
    assert plan(TRAINING, "resources.workers=1").launch.workers == "1"
    assert plan(TRAINING, "resources.workers=1..2").launch.workers == "1..2"


def test_a_schedule_that_begins_after_the_end_is_refused(check: Check) -> None:
    with pytest.raises(UsageError, match="half_cosine begins after it"):
        check(command(ONE.format(optim=", schedule: half_cosine, warmup_epochs: 4", train="", workers="1")))


def test_counts_are_whole_numbers_in_the_document(plan: Callable[..., PlanDocument]) -> None:
    population = plan(SWEEP).data()["population"]
    assert isinstance(population["flops"]["min"], int)
    assert isinstance(population["members"][0]["parameters"]["depth"], int)


def test_a_dataset_that_is_not_built_is_planned_from_its_card(plan: Callable[..., PlanDocument]) -> None:
    document = plan(bundled("workloads") / "regnet_cifar10.yaml")
    assert document.training is not None
    assert document.training.samples == 45_000
    assert "is not built" in document.warnings[0]


@pytest.mark.parametrize(
    ("last", "samples", "said"),
    [("keep", 1078, ""), ("drop", 1024, "leaves out the last 54 of its 1078"), ("wrap", 1088, "uses the first 10")],
)
def test_what_becomes_of_the_last_batch_is_told(
    plan: Callable[..., PlanDocument], last: str, samples: int, said: str
) -> None:
    document = plan(SWEEP, f"data.last_batch={last}")
    assert document.training is not None
    assert (document.training.samples, document.training.last_batch) == (samples, last)
    assert said in document.render()
    assert document.learning_rate is not None
    assert document.learning_rate.at[2]["samples"] == 6 * samples


def test_how_samples_are_drawn_is_told(plan: Callable[..., PlanDocument]) -> None:
    document = plan(SWEEP, "data.resample=class_balanced")
    assert document.training is not None
    assert (document.training.resample, document.training.samples) == ("class_balanced", 1078)
    assert "class_balanced" in document.render()


def test_weights_that_the_dataset_does_not_have_are_refused(check: Check) -> None:
    with pytest.raises(UsageError, match="digits has no column 'weight' of type float64 or int64; it has image"):
        check(workload_in(SWEEP, ["data.resample.weights=weight"]))


@pytest.mark.parametrize("named", ["mine.yaml", "./mine.yaml"])
def test_an_own_card_without_classes_has_to_be_built_first(
    check: Check, plan: Callable[..., PlanDocument], tmp_path: Path, named: str
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, title: M, converter: image_folder, source: folder, splits: {train: train, validation: val},"
        " columns: {image: {type: image}, label: {type: label}}}"
    )
    for ask in (check, lambda workload: plan(SWEEP, f"data.dataset={named}")):
        with pytest.raises(UsageError) as refused:
            ask(workload_in(SWEEP, [f"data.dataset={named}"]))
        assert "classes" not in str(refused.value)
        assert str(refused.value).count(f"orchestrator data build {named} --source FOLDER") == 1
