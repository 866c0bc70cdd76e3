"""The number of a development cluster: no two have the same, and that of one that is no more is free again."""

import json
import os
import subprocess
import sys
from pathlib import Path

from orchestrator.base.paths import bundled

TAKE = """import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import layout, numbers_of_clusters
layout.NUMBERS = numbers_of_clusters.NUMBERS = range(2, 4)
layout.runtime_of = numbers_of_clusters.runtime_of = lambda number: Path(sys.argv[3]) / f"dev-ray-{number}"
try:
    print(numbers_of_clusters.take(Path(sys.argv[4])))
except numbers_of_clusters.ClusterError as error:
    print(error)
"""


def take(scratch: Path, folder: Path) -> str:
    """What a new cluster of this folder gets where there are two numbers in all."""
    cluster = bundled("cluster")
    argv = (sys.executable, "-B", "-c", TAKE, cluster / "ray", cluster, scratch, folder)
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_numbers_are_taken_once_and_free_when_their_cluster_is_no_more(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    first, second = (take(tmp_path, folder) for folder in folders[:2])
    assert {first, second} == {"2", "3"}
    assert "other clusters" in take(tmp_path, folders[2])

    for number in (first, second):  # some time later
        os.utime(tmp_path / f"dev-ray-{number}", (0, 0))
    folders[0].mkdir()
    record = {"size": {}, "number": int(first), "first_port": 1, "python": "", "nodes": []}
    (folders[0] / "cluster.json").write_text(json.dumps(record))
    assert take(tmp_path, folders[2]) == second
