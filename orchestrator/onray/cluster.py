"""The Ray of a cluster, for a process of a run that uses it: where it is, and what of it is reserved for the run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.base.errors import BackendUnavailable, NotFound
from orchestrator.base.files import read_json, write_json
from orchestrator.base.text import one_line
from orchestrator.onray.headwatch import LOST, HeadWatch, Will
from orchestrator.onray.private import SETTINGS, Signals
from orchestrator.rundir.rayjob import LEFT_IN
from orchestrator.runtime.environment import DISTRIBUTED, RAY, RUN_DIR

NAMESPACE = "orchestrator"
_OWN = frozenset(
    ("CUDA_VISIBLE_DEVICES", "HOME", "HOSTNAME", "LOGNAME", "OLDPWD", "PATH", "PWD", "SHELL", "SHLVL", "TMPDIR", "USER")
)
"""What differs from node to node, of a process's environment."""
_FROM_THE_START = ("LD_LIBRARY_PATH", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "PYTHONPATH")
"""What a process reads when it begins."""


@dataclass(frozen=True)
class Reserved:
    """What a run has of the cluster's Ray.

    Attributes:
        address: `host:port` of Ray's control store.
        group: name of the run's placement group; empty: none, the process has Ray place its workers itself.
        nodes: workers of each node, by Ray's identifier of it.
        each: resources of a worker.
    """

    address: str
    group: str = ""
    nodes: Mapping[str, int] = field(default_factory=dict)
    each: Mapping[str, float] = field(default_factory=dict)

    def to_text(self) -> str:
        """For an environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Reserved | None:
        """What the agent left in the environment; None: this process has no part in a cluster's Ray."""
        text = environment.get(RAY, "")
        return cls(**json.loads(text)) if text else None


@contextmanager
def cluster_ray(reserved: Reserved, on_lost: Callable[[str], None]) -> Iterator[None]:
    """Be a driver of the cluster's Ray.

    Args:
        reserved: what the run has of it.
        on_lost: called, from another thread, when the head is gone for good: see `HeadWatch`.

    Raises:
        BackendUnavailable: what is done with it failed while the head was away, or soon after.
    """
    import ray

    os.environ.update(SETTINGS)
    signals = Signals.current()
    ray.init(
        address=reserved.address,
        namespace=NAMESPACE,
        log_to_driver=True,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": _for_ray(os.environ) | {LEFT_IN: str(_left_for_others())}},
    )
    signals.restore()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the watcher says the same in one line
    head = HeadWatch(reserved.address, on_lost, Will.of(os.environ))
    try:
        yield
    except Exception as error:
        if head.doubtful:  # and another head may answer by now, which knows nothing of this process
            raise BackendUnavailable(f"{LOST}: {one_line(str(error), 200)}") from error
        raise
    finally:
        head.close()
        ray.shutdown()


def be_as_the_driver() -> None:
    """Called where work begins in a process of a cluster's Ray: the environment is the driver's, and so is the folder.

    Raises:
        NotFound: what the driver has left is not there: this node does not see its files.
    """
    path = os.environ.get(LEFT_IN)
    if not path:
        return
    if (left := read_json(Path(path))) is None:
        raise NotFound(f"{path} is not on this node", hint="all nodes of a Ray cluster need the state directory")
    os.environ.update(left["environment"])
    os.chdir(left["workdir"])


def _left_for_others() -> Path:
    """Write down, for this account's eyes only, what processes of the run on other nodes go by."""
    folder = Path(os.environ[RUN_DIR]) / "ray"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"driver-{os.getpid()}.json"
    write_json(path, {"environment": _for_others(os.environ), "workdir": os.getcwd()}, mode=0o600)
    return path


def _for_others(environment: Mapping[str, str]) -> dict[str, str]:
    """What they have in common with the driver; what Ray itself tells each of them is not."""
    own = _OWN.union(DISTRIBUTED, (RAY,))
    return {name: value for name, value in environment.items() if name not in own and not name.startswith("RAY_")}


def _for_ray(environment: Mapping[str, str]) -> dict[str, str]:
    """What Ray has to know of it, and no secret: it writes that into its logs, and tells it to whoever asks."""
    settings = (name for name in environment if name.startswith(("RAY_", "TUNE_")) and not name.startswith("RAY_AUTH"))
    return {name: environment[name] for name in (*settings, *_FROM_THE_START) if name in environment}
