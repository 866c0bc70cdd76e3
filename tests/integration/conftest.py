"""The real thing: command line, embedded server, agent, Ray and MLflow, in a state directory of the test's own."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.slots import SLOTS_VARIABLE
from orchestrator.planning import launch
from orchestrator.testing import paced
from orchestrator.testing.dev_cluster import DevCluster
from orchestrator.testing.lab import Lab
from orchestrator.testing.ray_cluster import RayCluster

sys.path.insert(0, str(Path(__file__).parent))  # makes slurm_kit and training_kit importable by the tests

from search_kit import results

ROOT = Path(__file__).resolve().parents[2]
_RANK_MODULE = launch.RANK_MODULE
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user's environment with a state directory and slots of its own."""
    work = tmp_path_factory.mktemp("lab")
    ours = {n: v for n, v in os.environ.items() if not n.startswith(("ORCHESTRATOR_", "MLFLOW_"))}
    bin_folder = str(Path(sys.executable).parent)
    return ours | {
        "PATH": bin_folder + os.pathsep + os.environ["PATH"],
        "ORCHESTRATOR_STATE_DIR": str(work / "state"),
        "ORCHESTRATOR_SLOTS_DIR": str(work / "slots"),
    }


@pytest.fixture(scope="module")
def orchestrator(environment: dict[str, str]) -> Iterator[Run]:
    """Runs `orchestrator …` as a user would, in the repository."""

    def run(*argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["orchestrator", *argv], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == code, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    yield run
    run("serve", "--stop")


@pytest.fixture(scope="module")
def answer(orchestrator: Run) -> Callable[..., Any]:
    """The data of a command's JSON envelope."""

    def data(*argv: str) -> Any:
        envelope = json.loads(orchestrator(*argv, "--json").stdout)
        assert envelope["schema"] == "v1"
        assert envelope["error"] is None
        return envelope["data"]

    return data


@pytest.fixture
def make_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Makes a lab of so many cores, and a policy, in a folder of the test's own."""
    made: list[Lab] = []

    def make(cores: int, **policy: Any) -> Lab:
        monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
        monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
        made.append(Lab(tmp_path, cores=cores, **policy))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def slurm_lab(slurm: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Makes a lab on the real Slurm, of this section `slurm` of the profile, in a folder of the test's own."""
    made: list[Lab] = []

    def make(section: dict[str, Any]) -> Lab:
        monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
        made.append(Lab.on_slurm(tmp_path, section))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def ray_lab(ray_cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Makes a lab on the real Ray cluster, with a policy and more of the section `ray`."""
    made: list[Lab] = []

    def make(policy: Any = "default", **section: Any) -> Lab:
        monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
        ray = {"address": ray_cluster.address, "token_file": str(ray_cluster.token_file), **section}
        made.append(Lab.on_ray(tmp_path, ray, policy=policy))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], str]:
    """The parameters that a training ends with on one worker of this machine; all of one name are trained once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def trained(document: dict[str, Any]) -> str:
        with pytest.MonkeyPatch.context() as patch:
            root = tmp_path_factory.mktemp("local")
            patch.setattr(launch, "RANK_MODULE", _RANK_MODULE)
            patch.setenv("ORCHESTRATOR_STATE_DIR", str(root))
            patch.setenv(SLOTS_VARIABLE, str(root / "slots"))
            local = Lab(root, cores=1)
            job = local.submit({**document, "resources": {"workers": 1}})
            local.finish()
            digest: str = local.summary(job)["parameters_sha256"]
            local.close()
        return digest

    return lambda document: _once(shared / f"undisturbed-{document['name']}", lambda: trained(document))


@pytest.fixture(scope="session")
def found_here(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], list[Any]]:
    """What a search finds on this machine; all of one name are run once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def searched(document: dict[str, Any]) -> str:
        with pytest.MonkeyPatch.context() as patch:
            root = tmp_path_factory.mktemp("local")
            patch.setenv("ORCHESTRATOR_STATE_DIR", str(root))
            patch.setenv(SLOTS_VARIABLE, str(root / "slots"))
            local = Lab(root, cores=8)
            job = local.submit(document)
            local.finish()
            found = results(local, job)
            local.close()
        return json.dumps(found)

    return lambda document: json.loads(_once(shared / f"found-{document['name']}", lambda: searched(document)))


def _once(path: Path, make: Callable[[], str]) -> str:
    """What one of all processes of these tests has made."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process may be making it
        file.seek(0)
        if not (found := file.read()):
            found = make()
            file.write(found)
        return found


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """(name, steps, workers) -> a small training of the digits, in so many steps, that fails for good when it fails.

    It takes its time until somebody calls `Lab.finish`.
    """
    monkeypatch.setattr(launch, "RANK_MODULE", paced.__name__)

    def document(name: str, steps: int, workers: str) -> dict[str, Any]:
        return {
            "name": name,
            "recipe": "regnet",
            "seed": 1,
            "data": {"dataset": "digits", "image_size": 8},
            "model": {"stem": "cifar", "stem_width": 8, "depth": 4, "w0": 8, "wa": 8.0, "wm": 2.0, "group_width": 8},
            "optim": {"lr": 0.05},
            "train": {"epochs": 200, "max_steps": steps, "batch_size": 64, "samples_per_virtual_worker": 16},
            "retry": {"application": 0},
            "resources": {"workers": workers},
        }

    return document
