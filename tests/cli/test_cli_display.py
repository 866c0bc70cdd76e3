"""How progress, quantities and foreign text are shown."""

import io

import pytest
from api_fakes import FakeService
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import TextColumn

from orchestrator.base.text import counted, measured
from orchestrator.cli.human import ago, duration, figure, size
from orchestrator.cli.jobtext import progress_text
from orchestrator.cli.logtail import Readable
from orchestrator.cli.output import state, table
from orchestrator.cli.progress import LiveDisplay, PlainDisplay, _count_in_lines, _Rate
from orchestrator.cli.resulttext import results_text
from orchestrator.spec.messages import EventView, JobView, Progress, ResultsView


@pytest.fixture
def job(service: FakeService) -> JobView:
    return service.add("j-a", state="running", name="sweep")


def at(job: JobView, done: float) -> JobView:
    return job.model_copy(update={"progress": Progress(done=done, total=24, unit="trials")})


def test_a_summary_shows_neither_what_is_empty_nor_whole_hashes(job: JobView) -> None:
    summary = {
        "samples": 2156,
        "exact_until": None,
        "parameters_sha256": "ab" * 32,
        "fingerprint": {},
        "data": {"x": ""},
    }
    shown = results_text(ResultsView(job=job, summary=summary)).split("\n\n")[-1]
    assert shown.splitlines() == ["samples      2,156", "model sha256 " + "ab" * 8]


def test_results_of_a_failed_job_say_why(job: JobView) -> None:
    ended = job.model_copy(update={"state": "failed", "terminal": True, "reason": "run 1 failed: shard x is truncated"})
    assert results_text(ResultsView(job=ended)).splitlines()[1] == "run 1 failed: shard x is truncated"


@pytest.mark.parametrize(("number", "shown"), [(1, "1 slot"), ("1", "1 slot"), ("1..2", "1..2 slots"), (0, "0 slots")])
def test_one_is_no_plural(number: object, shown: str) -> None:
    assert counted(number, "slot") == shown


def test_whole_numbers_are_logged_as_such() -> None:
    assert [measured(number) for number in (45000.0, 0.05, 0.0, 1234567.5)] == ["45000", "0.05", "0", "1.235e+06"]


def test_progress_says_how_far_how_good_how_fast_and_how_long() -> None:
    progress = Progress(
        done=7, total=24, unit="trials", best=0.0213, best_label="val error", samples_per_second=5312.7, eta_seconds=80
    )
    assert progress_text(progress) == "7/24 trials, best val error 0.0213, 5,313 samples/s, 1m 20s left"


def test_plain_progress_is_a_line_now_and_then(job: JobView) -> None:
    lines: list[str] = []
    now = [0.0]
    display = PlainDisplay(write=lines.append, monotonic=lambda: now[0])
    for second in range(30):
        now[0] = float(second)
        display.job(at(job, second))
    assert len(lines) == 3


def test_plain_progress_tells_each_new_reason_to_wait_at_once(job: JobView) -> None:
    lines: list[str] = []
    display = PlainDisplay(write=lines.append, monotonic=lambda: 0.0)
    for reason in ("0 of 2 slots are free", "0 of 2 slots are free", "1 of 2 slots is free"):
        display.job(job.model_copy(update={"state": "queued", "reason": reason}))
    assert [line.split("queued")[1].strip() for line in lines] == ["0 of 2 slots are free", "1 of 2 slots is free"]


def test_the_live_display_prints_markup_of_others_as_text(job: JobView) -> None:
    out = io.StringIO()
    bars = Bars(
        TextColumn("{task.description} {task.fields[text]}", markup=False),
        console=Console(file=out, force_terminal=True, width=200),
        auto_refresh=False,
    )
    display = LiveDisplay(bars)
    with bars:
        display.event(EventView(id=1, job="j-a", time=0, kind="moved", message="[red]x[/red] \x1b[5mblink"))
        display.job(at(job, 3))
        bars.refresh()
    assert "[red]x[/red] blink" in out.getvalue()
    assert "\x1b[5m" not in out.getvalue()
    assert "3/24 trials" in out.getvalue()


def test_log_bytes_become_whole_characters_and_lines() -> None:
    readable = Readable()
    pieces = ["ä\r".encode()[:1], "ä\r".encode()[1:], b"10%\r20%\r\n\x1b]0;owned\x07\x1b[31mred\xff\n"]
    assert "".join(readable(piece) for piece in pieces) == "ä\n10%\n20%\nred\ufffd\n"


def test_a_table_keeps_its_columns_where_states_are_coloured() -> None:
    plain = table(("job", "state", ">n"), [("j-a", "running", "1"), ("j-bcd", "failed", "20")])
    coloured = table(("job", "state", ">n"), [("j-a", state("running"), "1"), ("j-bcd", state("failed"), "20")])
    assert plain == "JOB    STATE     N\nj-a    running   1\nj-bcd  failed   20"
    assert coloured.replace("\x1b[36m", "").replace("\x1b[31m", "").replace("\x1b[0m", "") == plain


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (59.4, "59s"), (200, "3m 20s"), (7500, "2h 05m"), (360_000, "4d 4h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_quantities() -> None:
    assert [size(n) for n in (0, 1023, 1536, 5 * 2**40)] == ["0 B", "1023 B", "1.5 KiB", "5.0 TiB"]
    assert [figure(n) for n in (0, 0.02134, 12, 1e6, 12.345)] == ["0", "0.02134", "12", "1,000,000", "12.35"]
    assert ago(10, now=70) == "1m 00s ago"
    assert ago(None) == ""


def test_counting_without_a_terminal_is_few_lines_and_no_rates_of_the_first_moments() -> None:
    lines: list[str] = []
    now = [0.0]
    show = _count_in_lines("reading", _Rate("rows", lambda: now[0]), write=lines.append, monotonic=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        show(1000 * second, 24_000)
    assert lines == [
        "reading 10,000/24,000 rows, 1,000/s",
        "reading 20,000/24,000 rows, 1,000/s",
        "reading 24,000/24,000 rows, 1,000/s",
    ]
    lines.clear()
    show = _count_in_lines("reading", _Rate("rows", lambda: now[0]), write=lines.append, monotonic=lambda: now[0])
    for done in range(0, 2001, 100):
        now[0] += 1e-6
        show(done, 2000)
    assert lines == ["reading 2,000/2,000 rows"]
