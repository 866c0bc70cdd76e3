"""How long control-plane commands take, beside those of Ray and MLflow."""

from __future__ import annotations

import os
import subprocess
import tempfile

from figures import Figure, interleaved, options, process, report, tool


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    rounds = 3 if chosen.quick else 15
    ours = tool("orchestrator")
    commands = {
        "help": process(ours, "--help"),
        "ray --help": process(tool("ray"), "--help"),
        "mlflow --help": process(tool("mlflow"), "--help"),
    }
    with tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as state:
        os.environ["ORCHESTRATOR_STATE_DIR"] = state
        # As pip leaves packages: compiled once, by the first round, and not at every start.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(state, "bytecode")
        subprocess.run([ours, "status"], check=True, capture_output=True)  # starts the embedded server
        commands["status"] = process(ours, "status", "--json")
        try:
            medians = interleaved(commands, rounds)
        finally:
            subprocess.run([ours, "serve", "--stop"], check=False, capture_output=True)
    peers: dict[str, float | str] = {name: medians[name] for name in ("ray --help", "mlflow --help")}
    figures = [
        Figure("orchestrator --help", "s", medians["help"], peers, goal="under 0.4 s", holds=medians["help"] < 0.4),
        Figure("orchestrator status", "s", medians["status"], {}, goal="under 0.5 s", holds=medians["status"] < 0.5),
    ]
    report(figures, packages=["ray", "mlflow"], as_json=chosen.json is not None)


if __name__ == "__main__":
    main()
