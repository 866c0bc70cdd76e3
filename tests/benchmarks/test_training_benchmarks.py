import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GPU = """
import sys, gpu_training as b
b.QUICK = b.Size(models=("resnet18",), pixels=32, batch=8, steps=2, rounds=1, images=16, loaders=1, compiled=False,
                 device="cpu")
sys.argv = ["x", "--quick", "--json", "-"]
b.main()
"""
OVERHEAD = """
import elastic_overhead as b
b.report(b.figures(1, b.measured(1, 1, 2)), packages=["torch"], as_json=True)
"""
CHECKPOINT = """
import checkpoint as b
with b.workplace() as folder:
    b.report(b.figures(1, "resnet18", b.measured(folder, 1, "resnet18", 1)), packages=["torch"], as_json=True)
"""


def ended(*arguments, **environment):
    argv = [sys.executable, *arguments]
    surroundings = os.environ | environment
    return subprocess.run(argv, cwd=BENCHMARKS, env=surroundings, capture_output=True, text=True, check=False)


@cache
def figures(program):
    done = ended("-c", program)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)["figures"]


PROGRAMS = {"gpu_training": GPU, "checkpoint": CHECKPOINT}
if os.environ.get("ORCHESTRATOR_TEST_FULL"):
    PROGRAMS["elastic_overhead"] = OVERHEAD


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_each_contender_has_a_measured_number(program):
    found = figures(program)
    assert found
    for figure in found:
        assert figure["peers"], figure
        assert all(isinstance(value, float) and value > 0 for value in (figure["ours"], *figure["peers"].values()))


def test_training_is_measured_on_synthetic_images_and_on_shards_and_judged_on_a_gpu_only():
    synthetic, shards = figures(GPU)
    assert "an overhead of at most 1%" in synthetic["goal"]
    assert "at least 95% of the synthetic rate" in shards["goal"]
    assert shards["peers"] == {"synthetic, this engine": synthetic["ours"]}
    assert synthetic["holds"] is None
    assert shards["holds"] is None


def test_without_a_gpu_the_training_benchmark_says_so_and_pretends_nothing():
    done = ended("gpu_training.py", "--json", "-", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "gpu_training.py needs an NVIDIA GPU, and torch finds none here: nothing was measured.\n"
