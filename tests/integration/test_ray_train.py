"""Ray Train as the engine on a real Ray cluster, and shards from S3 for its workers on two nodes."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest
from training_kit import BRIEF, MakeLab, Training, Undisturbed

from orchestrator.testing.faultproxy import FaultProxy

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]


def test_workers_on_two_nodes_fetch_each_shard_once_and_end_with_the_parameters_of_our_own_engine(
    ray_lab: MakeLab, training: Training, undisturbed: Undisturbed, s3_bucket: str, s3_proxy: FaultProxy
) -> None:
    lab, url = ray_lab(), f"s3://{s3_bucket}/digits"
    for words in (("build", "digits"), ("publish", "digits", url)):
        subprocess.run(["orchestrator", "data", *words], check=True, capture_output=True)
    document = training("brief", BRIEF, "2")
    job = lab.submit(
        document
        | {
            "data": document["data"] | {"dataset": url},
            "elastic": {"engine": "ray_train"},
            "resources": {"workers": 2, "cpus_per_worker": 3},
            "env": {"OMP_NUM_THREADS": "1"},
        }
    )
    lab.finish()
    assert lab.job(job).state == "succeeded", lab.job(job).reason
    assert lab.job(job).runs[0].world_size == 2
    fetched = Counter(seen.path for seen in s3_proxy.requests(r"\.arrow$"))
    assert fetched
    assert set(fetched.values()) == {1}, "all nodes of this cluster share the cache of this machine"
    assert lab.summary(job)["parameters_sha256"] == undisturbed(document)
