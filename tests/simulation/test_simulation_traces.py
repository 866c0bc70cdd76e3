"""Readers of the public trace layouts, on small files made by hand."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.simulation.formats import LAYOUTS
from orchestrator.simulation.traces.read import read_trace
from orchestrator.simulation.traces.trace import TraceJob

PLAIN = """job_id,submit_s,num_gpus,duration_s,vc,status,est_s
b,20.5,2,30,video,failed,60
a,10,8,100,,,
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_plain_table(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path / "t.csv", PLAIN))
    assert trace.layout == "plain"
    assert trace.jobs == (
        TraceJob("a", 10, 8, 100),
        TraceJob("b", 20.5, 2, 30, team="video", ends="failed", estimate=60),
    )


def test_optional_columns_may_be_missing_and_the_file_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"duration_s,job_id,num_gpus,submit_s,more\n5,a,1,0,x\n"))
    assert read_trace(path).jobs == (TraceJob("a", 0, 1, 5),)


def test_all_bad_rows_are_told_in_one_message_with_their_lines(tmp_path: Path) -> None:
    rows = [
        "a,0,1,5,,,",
        "a,1,1,5,,,",
        "c,soon,1,5,,,",
        "d,1,1.5,5,,,",
        "e,1,1,-5,,,",
        "f,1,1,5,,exploded,",
        "g,1,1,nan,,,",
        "h,1",
        ",1,1,1,,,",
    ]
    path = write(tmp_path / "t.csv", PLAIN.splitlines()[0] + "\n" + "\n".join(rows) + "\n")
    with pytest.raises(UsageError) as refusal:
        read_trace(path)
    told = refusal.value.message.splitlines()
    assert told[0] == "8 bad rows"
    assert told[1:] == [
        f"{path}:3: the job 'a' is there twice, first at 2",
        f"{path}:4: submit_s is 'soon', not a number",
        f"{path}:5: num_gpus is '1.5', not a whole number",
        f"{path}:6: duration_s is -5: expected a number that is not negative",
        f"{path}:7: the status 'exploded' is none of completed, pass, succeeded, terminated, failed, timeout, "
        "node_fail, killed, cancelled",
        f"{path}:8: duration_s is missing",
        f"{path}:9: num_gpus is missing",
        f"{path}:10: job_id is missing",
    ]
    assert "--skip-bad 8" in refusal.value.hint
    assert [job.id for job in read_trace(path, skip_bad=8).jobs] == ["a"]
    with pytest.raises(UsageError):
        read_trace(path, skip_bad=7)


def test_jobs_without_a_gpu_are_counted_and_left_out(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path / "t.csv", PLAIN + "c,1,0,5,,,\nd,1,0,5,,,\n"))
    assert dict(trace.left_out) == {"without a GPU": 2}


def test_helios(tmp_path: Path) -> None:
    text = """job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue
1,uA,vcX,4,16,1,FAILED,2020-06-09 18:41:27,2020-06-09 18:41:27,2020-06-09 18:45:36,249,0
2,uB,vcY,0,1,1,COMPLETED,2020-06-09 18:41:28,2020-06-09 18:41:28,2020-06-09 18:41:29,1,0
3,uB,vcY,1,1,1,CANCELLED,2020-06-10 18:41:27,,,,
4,uB,vcY,16,1,2,NODE_FAIL,2020-06-10 18:41:27,2020-06-10 18:41:27,2020-06-10 18:41:37,10,0
5,uB,vcY,1,1,1,SUSPENDED,2020-06-10 18:41:27,2020-06-10 18:41:27,2020-06-10 18:41:37,10,0
"""
    trace = read_trace(write(tmp_path / "cluster_log.csv", text))
    first, second = trace.jobs
    assert trace.layout == "helios"
    assert (first.id, first.gpus, first.duration, first.team, first.owner) == ("1", 4, 249, "vcX", "uA")
    assert (first.ends, first.cpus, second.ends) == ("failed", 16, "failed")
    assert second.submitted - first.submitted == 86_400
    assert dict(trace.left_out) == {"without a GPU": 1, "that never started": 1, "that had not ended": 1}


def test_times_with_an_offset_are_what_they_say(tmp_path: Path) -> None:
    head = "job_id,vc,gpu_num,state,submit_time,duration\n"
    rows = "1,v,1,COMPLETED,2020-06-09 18:00:00+08:00,9\n2,v,1,COMPLETED,2020-06-09T18:00:00Z,9\n"
    first, second = read_trace(write(tmp_path / "cluster_log.csv", head + rows)).jobs
    assert second.submitted - first.submitted == 8 * 3_600
    path = write(tmp_path / "cluster_log.csv", head + "1,v,1,COMPLETED,18:00,9\n2,v,1,COMPLETED,NaT,9\n")
    with pytest.raises(UsageError, match=r"cluster_log\.csv:3: submit_time is 'NaT', not a time such as 2020-06-09"):
        read_trace(path)


def philly_job(name: str, attempts: list[tuple[str | None, str | None, int]], status: str = "Pass") -> object:
    detail = [
        {"start_time": start, "end_time": end, "detail": [{"ip": "m1", "gpus": [f"gpu{i}" for i in range(gpus)]}]}
        for start, end, gpus in attempts
    ]
    return {
        "status": status,
        "vc": "ee9e8c",
        "jobid": name,
        "attempts": detail,
        "submitted_time": "2017-10-07 01:11:39",
        "user": "u",
    }


def test_philly(tmp_path: Path) -> None:
    jobs = [
        philly_job("a", [("2017-10-07 01:12:09", "2017-10-07 01:13:09", 8)]),
        philly_job(
            "b",
            [("2017-10-07 01:12:09", "2017-10-07 01:13:09", 8), ("2017-10-07 02:00:00", "2017-10-07 02:00:30", 4)],
            "Killed",
        ),
        philly_job("c", [("2017-10-07 01:12:09", None, 8)]),
        philly_job("d", []),
        {"jobid": "e"},
        philly_job("f", [("2017-10-07 01:12:09", "2017-10-07 01:12:08", 8)]),
    ]
    path = write(tmp_path / "cluster_job_log", json.dumps(jobs))
    trace = read_trace(path, skip_bad=2)
    assert [(j.id, j.gpus, j.duration, j.ends) for j in trace.jobs] == [
        ("a", 8, 60, "completed"),
        ("b", 4, 90, "killed"),
    ]
    assert sum(trace.left_out.values()) == 2
    assert trace.bad[0] == f"{path}:entry 5: it has no attempts"
    assert "entry 6: an attempt ends" in trace.bad[1]
    assert read_trace(tmp_path, skip_bad=2) == trace


def test_a_broken_json_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "cluster_job_log", '[\n{"jobid": }]')
    with pytest.raises(UsageError, match="cluster_job_log:2: not JSON"):
        read_trace(path)


def test_entries_that_are_no_jobs_are_told_by_their_numbers(tmp_path: Path) -> None:
    job = philly_job("a", [("2017-10-07 01:12:09", "2017-10-07 01:13:09", 8)])
    path = write(tmp_path / "cluster_job_log", json.dumps([None, 3, "x", [], {"attempts": 7}, job, job]))
    with pytest.raises(UsageError) as refusal:
        read_trace(path)
    told = refusal.value.message.splitlines()
    assert told[1:6] == [f"{path}:entry {i}: it is not laid out as a job with its attempts" for i in range(1, 6)]
    assert told[6] == f"{path}:entry 7: the job 'a' is there twice, first at entry 6"


def test_the_tables_of_pai_2020(tmp_path: Path) -> None:
    write(
        tmp_path / "pai_job_table.csv",
        "j1,i1,u1,Terminated,1000.0,2000.0\nj2,i2,u2,Failed,500.0,900.0\nj3,i3,u3,Running,1.0,\n"
        "j4,i4,u4,Terminated,1.0,2.0\n",
    )
    write(
        tmp_path / "pai_task_table.csv",
        "j1,ps,1.0,Terminated,1010.0,1990.0,600.0,29.3,,\n"
        "j1,worker,2.0,Terminated,1020.0,2000.0,400.0,10.0,50.0,V100\n"
        "j2,tf,3.0,Failed,600.0,900.0,100.0,1.0,100.0,T4\n"
        "j3,tf,1.0,Running,1.0,,100.0,1.0,100.0,T4\n",
    )
    trace = read_trace(tmp_path)
    two, one = trace.jobs
    assert (one.id, one.submitted, one.gpus, one.duration, one.cpus) == ("j1", 1000, 1, 990, 14)
    assert (two.id, two.gpus, two.duration, two.ends, two.gpu_types) == ("j2", 3, 300, "failed", ("T4",))
    assert dict(trace.left_out) == {"that had not ended": 1, "without a GPU": 1}
    write(tmp_path / "pai_instance_table.csv", "j2,tf,x,w,i,Failed,650.0,880.0,m\nj2,tf,y,w,i,Failed,,,m\n")
    assert read_trace(tmp_path / "pai_job_table.csv").jobs[0].duration == 230


def test_the_merged_table_of_pai_2020(tmp_path: Path) -> None:
    text = (
        "job_id,num_gpu,num_cpu,num_inst,gpu_type,user,submit_time,duration\n"
        "7,0.5,3,3,V100,u,10,60\n8,0,1,1,CPU,u,1,1\n"
    )
    trace = read_trace(write(tmp_path / "pai_job_duration_estimate_100K.csv", text))
    assert trace.jobs == (TraceJob("7", 10, 2, 60, owner="u", cpus=9, gpu_types=("V100",)),)


def test_a_status_that_pai_2020_does_not_have_is_a_bad_row(tmp_path: Path) -> None:
    write(tmp_path / "pai_job_table.csv", "j1,i,u,Exploded,1.0,9.0\nj2,i,u,Waiting,1.0,\nj3,i,u,Terminated,1.0,9.0\n")
    write(tmp_path / "pai_task_table.csv", "".join(f"j{i},w,1.0,x,1.0,9.0,1.0,1.0,100.0,T4\n" for i in (1, 2, 3)))
    with pytest.raises(UsageError, match=r"pai_job_table\.csv:1: the status 'Exploded'"):
        read_trace(tmp_path)
    trace = read_trace(tmp_path, skip_bad=1)
    assert ([job.id for job in trace.jobs], dict(trace.left_out)) == (["j3"], {"that had not ended": 1})


def test_shares_of_gpus_are_added_up_in_hundredths(tmp_path: Path) -> None:
    rows = [(0.14, 50, 7), (0.28, 25, 7), (0.07, 100, 7), (0.1, 71, 8)]
    lines = [f"{i},{share},1,{count},V100,u,10,60" for i, (share, count, _) in enumerate(rows)]
    head = "job_id,num_gpu,num_cpu,num_inst,gpu_type,user,submit_time,duration\n"
    trace = read_trace(write(tmp_path / "pai_job_duration_estimate_100K.csv", head + "\n".join(lines) + "\n"))
    assert [job.gpus for job in trace.jobs] == [gpus for _, _, gpus in rows]
    write(tmp_path / "pai_job_table.csv", "j1,i1,u1,Terminated,1.0,9.0\n")
    write(tmp_path / "pai_task_table.csv", "j1,w,50.0,Terminated,1.0,9.0,1.0,1.0,14.0,T4\n" * 3)
    assert read_trace(tmp_path / "pai_job_table.csv").jobs[0].gpus == 21


def test_every_layout_that_is_offered_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "nothing\n1\n")
    for layout in LAYOUTS:
        with pytest.raises(UsageError, match=r"x\.csv|no row|philly"):
            read_trace(path, layout)


def test_pai_2023(tmp_path: Path) -> None:
    text = (
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
        "p1,88000,327680,8,1000,,Burstable,Succeeded,100,400,150\n"
        "p2,4000,15258,1,220,V100M32|T4,BE,Running,50,90,60\n"
        "p3,8000,30517,0,0,,BE,Running,50,90,60\n"
        "p4,8000,30517,1,1000,,BE,Pending,50,90,\n"
    )
    trace = read_trace(write(tmp_path / "openb_pod_list_default.csv", text))
    two, one = trace.jobs
    assert (one.id, one.submitted, one.gpus, one.duration, one.ends) == ("p1", 100, 8, 250, "completed")
    assert (one.cpus, one.memory, one.team) == (88, 327_680 * 2**20, "Burstable")
    assert (two.duration, two.ends, two.gpu_types) == (30, "killed", ("T4", "V100M32"))
    assert len(trace.left_out) == 2


def archive() -> bytes:
    """As Philly's is published."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("trace-data/cluster_job_log"))
    return packed.getvalue()


ROWS = "".join(f"j{i},{i * i},1,{i % 97},,,\n" for i in range(5_000))
PACKED = gzip.compress((PLAIN.splitlines()[0] + "\n" + ROWS).encode(), mtime=0)
DAMAGED = PACKED[:20_000] + b"\xff" * 100 + PACKED[20_100:]


def test_a_byte_order_mark_and_spaces_in_the_header_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfjob_id, submit_s ,num_gpus,duration_s\r\na,1,2,3\r\n")
    assert read_trace(path).jobs == (TraceJob("a", 1, 2, 3),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n", "t.csv:1: these columns belong to no known trace: a, b"),
        (b"", "is empty"),
        (b"\x1f\x8bnot gzip", "is damaged"),
        (DAMAGED, "is damaged"),
        (PACKED[:20_000], "ends too early"),
        (archive(), "is an archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a reference of Git LFS"),
        (b"name,cpu_milli,num_gpu,gpu_milli\np1,1,1,1000\n", "has no times"),
        (b"[]", "holds no job"),
        (b"{}", "expected a list of jobs"),
        (b"\xff\xfe", "no text in UTF-8"),
        (PLAIN.splitlines()[0].encode(), "holds no job"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refusal:
        read_trace(path)
    assert message in refusal.value.message
    assert refusal.value.hint
    assert "\n" not in refusal.value.message


def test_a_layout_that_is_asked_for_must_have_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", PLAIN)
    with pytest.raises(UsageError, match="a helios trace has the columns duration, gpu_num"):
        read_trace(path, "helios")


def test_a_folder_without_a_trace_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no trace"):
        read_trace(tmp_path)
    with pytest.raises(UsageError, match="there is no trace"):
        read_trace(tmp_path / "none.csv")


def test_a_file_of_nothing_but_bad_rows_is_given_up_early(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", PLAIN.splitlines()[0] + "\n" + "x\n" * 5_000)
    with pytest.raises(UsageError, match="1,001 bad rows"):
        read_trace(path)
