"""What an sbatch without a clear answer left in Slurm, by real looks at a squeue that a test writes."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from backend_kit import Site, lose_the_answer
from queue_kit import queue_line

from orchestrator.backends.slurm import SlurmBackend
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.watch import Watch
from orchestrator.base.errors import BackendUnavailable
from orchestrator.spec.slurm import SlurmSection

NODE = "NodeName=n1 CPUTot=4 State=IDLE RealMemory=65536 Gres=gpu:2"
PARTITION = "PartitionName=batch Default=YES State=UP Nodes=n1 TotalNodes=1"
SHOW = f'case "$*" in *nodes) echo "{NODE}";; *partitions) echo "{PARTITION}";; esac'


@dataclass
class Looking:
    """A backend whose watch runs `squeue`, which prints the file of that name."""

    site: Site
    backend: SlurmBackend

    def show(self, *records: str) -> None:
        self.site.folder.joinpath("squeue").write_text("".join(records))


@pytest.fixture
def looking(site: Site) -> Iterator[Looking]:
    site.say("scontrol", SHOW)
    squeue = site.folder / "bin" / "squeue"
    squeue.write_text(f"#!/bin/sh\ncat {site.folder}/squeue\n")
    squeue.chmod(0o755)
    section = SlurmSection(commands=str(site.folder / "bin"), conf=str(site.conf))
    watch = Watch(Slurm(section), look_every=0.2)
    site.watch = watch  # type: ignore[assignment]
    found = Looking(site, site.backend())
    found.show()
    yield found
    watch.close()


@pytest.mark.parametrize(
    "broken",
    [queue_line("j-1-r1.0", "RUNNING", "77", nodes="n[1-"), "\x1e77\x1fN/A\x1fRUNN", "an error of a library\n"],
)
def test_where_squeue_cannot_be_read_in_full_nothing_is_submitted_again(looking: Looking, broken: str) -> None:
    request = looking.site.request()
    lose_the_answer(looking.site, looking.backend, request)
    looking.show(broken, queue_line("j-9-r1.0", "RUNNING", "70"))
    with pytest.raises(BackendUnavailable, match="squeue's answer cannot be read in full"):
        looking.backend.launch(request)
    assert len(looking.site.calls("sbatch")) == 1
    looking.show(queue_line(request.allocation, "RUNNING", "77"))
    looking.backend.launch(request)
    assert len(looking.site.calls("sbatch")) == 1
    assert looking.backend.observe([request.allocation])[request.allocation].engine_id == "77"


def test_a_living_job_that_is_shown_beside_what_cannot_be_read_is_adopted(looking: Looking) -> None:
    request = looking.site.request()
    lose_the_answer(looking.site, looking.backend, request)
    looking.show("an error of a library\n", queue_line(request.allocation, "PENDING", "77"))
    looking.backend.launch(request)
    assert len(looking.site.calls("sbatch")) == 1


def test_a_job_that_slurm_took_before_it_complained_of_what_nobody_knows_is_not_submitted_again(
    looking: Looking,
) -> None:
    request, folder = looking.site.request(), looking.site.folder
    (folder / "taken").write_text(queue_line(request.allocation, "PENDING", "77"))
    damaged = "Batch job submission failed: Header lengths are longer than data received"
    looking.site.say("sbatch", f"cp taken squeue; echo 'sbatch: error: {damaged}' >&2; exit 1")
    with pytest.raises(BackendUnavailable, match="Header lengths"):
        looking.backend.launch(request)
    looking.backend.launch(request)
    assert len(looking.site.calls("sbatch")) == 1
    assert looking.backend.list() == [request.allocation]
