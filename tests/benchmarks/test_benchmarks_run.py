import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIZES = {
    "data_read": "Size(records=96, images=40, rounds=1, pixels=(32,))",
    "data_write": "Size(records=64, images=40, rounds=1)",
}
SCRIPTS = sorted(SIZES) if os.environ.get("ORCHESTRATOR_TEST_FULL") else ["data_read"]


@cache
def document(script):
    program = (
        f"import sys, {script} as b; b.QUICK = b.{SIZES[script]}; sys.argv = ['x', '--quick', '--json', '-']; b.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("script", SCRIPTS)
def test_stdout_is_one_json_document_of_the_agreed_shape(script):
    found = document(script)
    assert set(found) == {"figures", "versions", "machine"}
    for figure in found["figures"]:
        assert {"name", "unit", "ours", "peers", "limit", "goal", "holds"} <= set(figure)
        assert figure["ours"] > 0, figure


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_peer_has_a_number_or_the_reason_why_there_is_none(script):
    for figure in document(script)["figures"]:
        for name, value in figure["peers"].items():
            told = isinstance(value, str) and ("not installed" in value or "no comparable time" in value)
            assert told or (isinstance(value, float) and value > 0), (name, value)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("peer", "module"), [("Streaming", "streaming"), ("LitData", "litdata"), ("ArrayRecord", "grain")]
)
def test_an_absent_peer_is_named_with_the_command_that_installs_it(script, peer, module):
    values = [v for f in document(script)["figures"] for name, v in f["peers"].items() if name.startswith(peer)]
    assert values
    if importlib.util.find_spec(module) is None:
        assert all("make .venv-bench" in value and f"benchmarks/{script}.py" in value for value in values)


def test_a_goal_is_judged_only_where_all_ran_that_it_speaks_of():
    judged = [figure for figure in document("data_read")["figures"] if figure["goal"]]
    assert judged
    for figure in judged:
        assert "Measured: " in figure["note"]
        assert (figure["holds"] is None) == ("not judged without" in figure["note"])


def test_nothing_is_left_in_the_temporary_folder(tmp_path):
    program = (
        "from peers.workplace import workplace\nwith workplace() as f: (f / 'x').write_text('x'); raise SystemExit(3)"
    )
    environment = {"TMPDIR": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, env=environment, check=False)
    assert done.returncode == 3
    assert not list(tmp_path.glob("orchestrator-bench-*"))
