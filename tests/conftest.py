"""For all tests: interrupts, temporary files, what begins first, an S3 server, a Slurm and a Ray on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orchestrator.testing.dev_cluster import DevCluster
    from orchestrator.testing.faultproxy import FaultProxy
    from orchestrator.testing.ray_cluster import RayCluster

# An interrupt interrupts, also where the suite runs in the background of a shell that ignores it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TEMPORARY = "PYTEST_DEBUG_TEMPROOT"
_MEMORY = Path("/dev/shm")
_ROOM = 6 * 2**30

_ON_THE_RAY_CLUSTER = {
    "tests/integration/test_ray_cluster.py",
    "tests/integration/test_ray_faults.py",
    "tests/ray/test_ray_dev_cluster.py",
}

_S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTS",
    "AWS_SECRET_ACCESS_KEY": "not-so-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def pytest_configure() -> None:
    """Temporary files lie in memory where there is room: processes die in these tests, machines do not."""
    if _TEMPORARY not in os.environ and _has_room(_MEMORY):
        os.environ[_TEMPORARY] = str(_MEMORY)


def _has_room(folder: Path) -> bool:
    if not folder.is_dir() or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(shutil.disk_usage(folder).free, available) >= _ROOM


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file run in one process, and so do those that share the Ray cluster."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "ray" if file in _ON_THE_RAY_CLUSTER else file

    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins first, so that it is not waited for at the end; `full` runs with `make test-full`."""
    if not os.environ.get("ORCHESTRATOR_TEST_FULL"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("full")])
        items[:] = [item for item in items if not item.get_closest_marker("full")]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True, scope="module")
def _ray_is_imported_with_a_token_and_leaves_no_settings() -> Iterator[None]:
    """Ray reads its token once in a process: who imports it without one spoils the files that run there later."""
    before = "ray" in sys.modules
    settings = {name for name in os.environ if name.startswith(("RAY_", "TUNE_"))}
    yield
    if not before and "ray" in sys.modules:
        assert os.environ.get("RAY_AUTH_MODE") == "token", "import Ray in a process of its own, or with a token"
    for name in [name for name in os.environ if name.startswith(("RAY_", "TUNE_"))]:
        if name not in settings and not name.startswith("RAY_AUTH_"):
            del os.environ[name]


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_port: int) -> Any:
    """A client that talks to the server directly."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{s3_port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


@pytest.fixture
def s3_bucket(s3_client: Any, request: pytest.FixtureRequest) -> str:
    """The name of a new bucket."""
    name = f"tests-{abs(hash(request.node.nodeid)):x}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_proxy(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A fault proxy that the environment names as the endpoint."""
    from orchestrator.testing.faultproxy import fault_proxy

    for name, value in _S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    with fault_proxy(s3_port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[DevCluster]:
    """A real Slurm of three nodes with two GPUs each, this process's own; `slurm` also mends it after the test."""
    from orchestrator.testing.dev_cluster import MISSING, DevCluster, DevClusterError

    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=os.environ.get(_TEMPORARY)))
    folder.chmod(0o711)  # other users of it find its slurm.conf
    cluster = DevCluster(folder)
    try:
        cluster.up()
    except DevClusterError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.code != MISSING or os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    yield cluster
    cluster.down()


@pytest.fixture
def slurm(slurm_cluster: DevCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[DevCluster]:
    """A real Slurm without jobs and with all its nodes, which SLURM_CONF names."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(slurm_cluster.conf))
    yield slurm_cluster
    slurm_cluster.mend()


@pytest.fixture
def ray_cluster(_ray_of_this_process: RayCluster) -> Iterator[RayCluster]:
    """A real Ray of two nodes with 4 CPUs and 2 pretended GPUs each, which is mended after the test."""
    yield _ray_of_this_process
    _ray_of_this_process.mend()


@pytest.fixture(scope="session")
def _ray_of_this_process() -> Iterator[RayCluster]:
    from orchestrator.testing.ray_cluster import MISSING, RayCluster, RayClusterError

    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=os.environ.get(_TEMPORARY)))
    cluster = RayCluster(folder)
    try:
        cluster.up()
    except RayClusterError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.code != MISSING or os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    yield cluster
    cluster.down()
