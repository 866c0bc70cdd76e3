import json

import pytest

from orchestrator.cli.commands.data import locate
from orchestrator.cli.main import run


@pytest.fixture
def cli(capfd):
    """Run a command in this process: its exit code, stdout and stderr."""

    def call(*words) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([str(word) for word in words])
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def test_a_dataset_is_published_and_verified_where_it_lies(cli, empty) -> None:
    code, out, _ = cli("data", "publish", empty.root, empty.url)
    assert (code, empty.url in out) == (0, True)
    code, out, err = cli("data", "verify", empty.url)
    assert (code, "is whole: 40 rows in 5 shards" in out) == (0, True)
    assert "verifying 40/40 rows" in err


def test_every_problem_of_a_remote_dataset_is_listed_with_its_rows(cli, bucket) -> None:
    bucket.delete("train-00000.arrow")
    at = bucket.offset(17)
    bucket.damage("train-00002.arrow", lambda content: content[:at] + b"\xff" + content[at + 1 :])
    code, _, err = cli("data", "verify", bucket.url)
    assert code == 1
    assert "train-00000.arrow is not there (train rows 0 to 7)" in err
    assert "records with a wrong checksum (rows 17)" in err
    code, out, _ = cli("data", "verify", bucket.url, "--json")
    problems = json.loads(out)["data"]["problems"]
    assert [problem["range"] for problem in problems] == ["train rows 0 to 7", *["train rows 16 to 23"] * 2]


def test_a_store_that_does_not_answer_is_no_damage(cli, bucket) -> None:
    bucket.proxy.inject("status", "index.json", status=403, times=9)
    code, out, _ = cli("data", "verify", bucket.url, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "remote_unavailable")


def test_who_waits_for_a_store_that_does_not_answer_is_told_and_soon_let_go(cli, bucket, monkeypatch) -> None:
    monkeypatch.setattr(locate, "_IMPATIENT", {"tries": 2, "first_seconds": 0.01})
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    bucket.proxy.inject("status", "index.json", status=503, times=2)
    code, _, err = cli("data", "info", bucket.url)
    assert code == 1
    assert "retrying (2 of 2): the index" in err
    assert "tried 2 times" in err


def test_a_url_with_a_password_is_refused_without_repeating_it(cli) -> None:
    code, out, err = cli("data", "verify", "s3://me:hunter2@bucket/data")
    assert code == 2
    assert "hunter2" not in out + err
