"""What starts a Ray cluster on Kubernetes and by `ray up`, and the profile that goes with it, say the same."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestrator.base.paths import bundled
from orchestrator.spec.load import load_profile
from orchestrator.spec.units import parse_bytes

FOLDER = bundled("cluster") / "ray"

RAY_CHECKS = """
import sys
from ray.autoscaler._private.providers import _get_default_config
from ray.autoscaler._private.util import validate_config
from ruamel.yaml import YAML

file = YAML(typ="safe").load(open(sys.argv[1]))
validate_config({**_get_default_config(file["provider"]), **file})
"""
"""In a process of its own: Ray reads once in one whether there is a token."""


@pytest.fixture(scope="module")
def kuberay() -> dict[str, Any]:
    """The documents of the manifest by their kind."""
    return {document["kind"]: document for document in YAML(typ="safe").load_all(FOLDER / "kuberay.yaml")}


@pytest.fixture(scope="module")
def ray_up() -> Any:
    return YAML(typ="safe").load(FOLDER / "ray-up.yaml")


def test_ray_takes_the_file_of_ray_up(ray_up: dict[str, Any]) -> None:
    checked = subprocess.run([sys.executable, "-c", RAY_CHECKS, FOLDER / "ray-up.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert ray_up["available_node_types"].keys() == {ray_up["head_node_type"], "h200"}
    assert all("RAY_AUTH_MODE=token" in ray_up[f"{who}_start_ray_commands"][-1] for who in ("head", "worker"))
    assert "~/.ray/auth_token" in ray_up["file_mounts"]


def test_the_manifest_asks_for_a_token_an_autoscaler_and_a_head_without_work(kuberay: dict[str, Any]) -> None:
    spec = kuberay["RayCluster"]["spec"]
    assert kuberay["RayCluster"]["apiVersion"] == "ray.io/v1"
    assert spec["authOptions"] == {"mode": "token", "secretName": "ray-token"}
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        assert pod["restartPolicy"] == "Never"
        claims = {volume["name"]: volume.get("persistentVolumeClaim") for volume in pod["volumes"]}
        assert claims["runs"] == {"claimName": kuberay["PersistentVolumeClaim"]["metadata"]["name"]}
        (container,) = pod["containers"]
        assert {"name": "runs", "mountPath": "/runs"} in container["volumeMounts"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    assert len({group["template"]["spec"]["containers"][0]["image"] for group in groups}) == 1
    assert kuberay["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_all_pods_run_as_one_account_which_can_be_the_servers(kuberay: dict[str, Any]) -> None:
    spec = kuberay["RayCluster"]["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    accounts = [group["template"]["spec"]["securityContext"] for group in groups]
    assert all(account == accounts[0] for account in accounts)
    assert accounts[0]["runAsUser"] > 0
    assert accounts[0]["runAsNonRoot"] is True


def test_both_are_of_the_same_size_and_the_profile_knows_it(
    kuberay: dict[str, Any], ray_up: dict[str, Any], tmp_path: Path
) -> None:
    (group,) = kuberay["RayCluster"]["spec"]["workerGroupSpecs"]
    other = ray_up["available_node_types"][group["groupName"]]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    params = group["rayStartParams"]
    assert (group["minReplicas"], group["maxReplicas"]) == (other["min_workers"], other["max_workers"])
    assert group["maxReplicas"] == ray_up["max_workers"]
    assert group["labels"] == other["labels"]
    assert {"CPU": int(params["num-cpus"]), "GPU": int(params["num-gpus"])} == other["resources"]
    assert (limits["cpu"], limits["nvidia.com/gpu"]) == (params["num-cpus"], params["num-gpus"])

    text = (bundled("cluster") / "ray.yaml").read_text()
    assert "  # autoscaler:" in text
    uncommented = text.replace("  # autoscaler:", "  autoscaler:").replace("  #   - {name", "    - {name")
    (tmp_path / "ray.yaml").write_text(uncommented)
    profile = load_profile(tmp_path / "ray.yaml")
    assert profile.ray is not None
    (kind,) = profile.ray.autoscaler
    assert (kind.name, kind.count) == (group["groupName"], group["maxReplicas"])
    assert (kind.cpus, kind.gpus) == (other["resources"]["CPU"], other["resources"]["GPU"])
    assert kind.gpu_type == group["labels"]["ray.io/accelerator-type"].lower()
    assert kind.memory == parse_bytes(f"{limits['memory']}B")
    assert load_profile("ray").backend == "ray"
