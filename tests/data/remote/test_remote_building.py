import json
from pathlib import Path

import pytest

from orchestrator.cli.main import run


def test_a_dataset_is_built_to_a_url_and_described_measured_and_drawn_there(
    capfd, empty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))

    def data(*words: object) -> object:
        assert run(["data", *map(str, words), "--json"]) == 0
        return json.loads(capfd.readouterr().out)["data"]

    built = data("build", "digits", "--out", empty.url)
    assert built["url"] == empty.url
    assert data("info", empty.url)["version"] == built["version"]
    measured = data("stats", empty.url, "--split", "test", "--sample", 50)
    assert (measured["rows"], measured["sampled"], measured["images"]["image"]["height"]["most"]) == (359, 50, 8)
    assert len(data("head", empty.url, "-n", 3, "--sheet", tmp_path / "sheet.png")) == 3
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    again = data("build", "digits", "--out", empty.url)
    assert again["url"] == empty.url
