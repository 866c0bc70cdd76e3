"""The Python that docs/data.md shows runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(number: int, tmp_path: Path) -> str:
    """What the example of this number prints."""
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(examples[number])
    environment = os.environ | {"ORCHESTRATOR_STATE_DIR": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_data_loader_of_the_page_on_datasets_runs(tmp_path: Path) -> None:
    assert "leaves out the last 54 of its 1078 positions" in run(0, tmp_path)


def test_the_mixture_of_the_page_on_datasets_runs(tmp_path: Path) -> None:
    assert run(1, tmp_path) == "{'many': 750, 'few': 250} {'many': (), 'few': ()}\n"
