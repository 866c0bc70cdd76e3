"""A private Ray for one search: its head on this node, with a token, and gone when the search is."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from orchestrator.base.errors import TimedOut
from orchestrator.base.process import ProcessIdentity
from orchestrator.base.text import one_line
from orchestrator.onray.meeting import Head
from orchestrator.runtime.logs import say

_PREFIX = "orch-ray-"
_LONGEST_FOLDER = 40
"""Ray appends about 65 characters, and the path of a Unix socket has 107 at most."""
_WATCH_SECONDS = 0.5
_STARTS = 3
"""Attempts; Ray itself gives each one 30 s, which a busy node may need to start Ray's programs."""
_END_SECONDS = 5.0
_TOKEN = "RAY_AUTH_TOKEN"
OBJECT_STORE_BYTES = 80 * 2**20
"""Of each node: trials hand over nothing but numbers."""
SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative dataset paths mean what they meant at submit
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # trials are what the slots are for; Ray lets them go after everything else on the node
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune is the executor, not the memory (decisions 19)
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
_SEVERAL_NODES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""On Linux, too, a 0 makes Ray keep to loopback: it takes 127.0.0.1 for the machine's own address otherwise."""
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def environment(token: str) -> dict[str, str]:
    """What Ray's processes on every node of a search have to read in their environment.

    Args:
        token: without which Ray answers nobody.
    """
    return SETTINGS | {"RAY_AUTH_MODE": "token", _TOKEN: token, _SEVERAL_NODES: "1"}


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for what Ray writes on this node, short enough for its sockets; it goes with this process."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_short_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def private_ray(
    slots: int, gpus: int, on_lost: Callable[[str], None], host: str | None = None
) -> Iterator[tuple[Path, Head]]:
    """Start a Ray that only who has its token can use; yields a scratch folder that goes with it, and its head.

    Args:
        slots: trials at once on this node.
        gpus: GPUs of these slots.
        on_lost: called, from another thread, with the name of a daemon of Ray's that died. Ray itself would notice
            after a minute, and end this process without a word.
        host: where other nodes reach this one; None: there are none, and Ray listens on loopback alone.
    """
    # These are read by Ray's daemons, which inherit the environment; RAY_ADDRESS would lead to somebody else's Ray.
    token = os.environ.get(_TOKEN) or secrets.token_hex(32)  # Ray reads it once in a process's life
    os.environ.update(environment(token) | ({_SEVERAL_NODES: "0"} if host is None else {}))
    os.environ.pop("RAY_ADDRESS", None)
    with scratch_folder() as folder:
        import ray

        with _head(slots, gpus, on_lost, host, folder):
            yield folder, Head(ray.get_runtime_context().gcs_address, token)


@contextmanager
def _head(slots: int, gpus: int, on_lost: Callable[[str], None], host: str | None, folder: Path) -> Iterator[None]:
    import ray

    keep_signals = Signals.current()
    _start(
        address="local",
        num_cpus=slots,
        num_gpus=gpus,
        include_dashboard=False,
        log_to_driver=True,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE_BYTES,
        _temp_dir=str(folder),
        _node_ip_address=host or "127.0.0.1",
    )
    keep_signals.restore()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the watcher says the same in one line
    over = threading.Event()
    threading.Thread(target=_watch, args=(_daemons(), on_lost, over), name="ray-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        ray.shutdown()


def _start(**options: Any) -> None:
    import ray

    before = _descendants()
    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(**options)
            return
        except Exception as error:  # of many kinds
            words = one_line(str(error), 300)
            ray.shutdown()
            _end(_descendants() - before)
            if attempt == _STARTS:
                raise TimedOut(
                    f"Ray did not start on this node: {words}",
                    hint="the node may be short of processor time, memory or room for temporary files;"
                    " the run is tried again",
                ) from error
            say(f"Ray did not start, attempt {attempt}: {words}")


def _descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _end(processes: Collection[psutil.Process]) -> None:
    """Kill what an attempt has left behind: Ray ends it no earlier than with this process."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_END_SECONDS)


class Signals:
    """The signal handlers of this process at one time; Ray and Tune replace them."""

    def __init__(self, handlers: dict[signal.Signals, signal._HANDLER]) -> None:
        self._handlers = handlers

    @classmethod
    def current(cls) -> Signals:
        """The handlers that are set now."""
        return cls({number: signal.getsignal(number) for number in _HANDLED})

    def restore(self) -> None:
        """Set them again."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _daemons() -> dict[str, ProcessIdentity]:
    """The processes that Ray cannot do without, by name; they are children of this one."""
    found = {}
    for child in psutil.Process().children():
        identity = ProcessIdentity.of(child.pid)
        if identity is not None and child.name() in {"gcs_server", "raylet"}:
            found[child.name()] = identity
    return found


def _watch(daemons: dict[str, ProcessIdentity], on_lost: Callable[[str], None], over: threading.Event) -> None:
    while not over.wait(_WATCH_SECONDS):
        lost = sorted(name for name, identity in daemons.items() if not identity.alive())
        if lost and not over.is_set():
            on_lost(lost[0])
            return


def _short_folder() -> Path:
    """A folder for temporary files whose path leaves room for Ray's sockets."""
    candidates = [Path(tempfile.gettempdir()), Path(os.sep, "tmp"), Path(os.sep, "dev", "shm")]
    fitting = [path for path in candidates if len(str(path)) + len(_PREFIX) + 18 <= _LONGEST_FOLDER]
    return next((path for path in fitting if os.access(path, os.W_OK)), candidates[0])


def _sweep() -> None:
    """Remove what killed drivers left behind."""
    for path in _short_folder().glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and ProcessIdentity.of(int(pid)) is None and path.stat().st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)
