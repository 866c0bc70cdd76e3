"""A private Ray for one search: on loopback, as large as the run's slots, with a token, and gone when the search is."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from orchestrator.base.process import ProcessIdentity

_PREFIX = "orch-ray-"
_LONGEST_FOLDER = 40
"""Ray appends about 65 characters, and the path of a Unix socket has 107 at most."""
_WATCH_SECONDS = 0.5
_OBJECT_STORE_BYTES = 80 * 2**20
_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative dataset paths mean what they meant at submit
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune is the executor, not the memory (decisions 19)
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@contextmanager
def private_ray(slots: int, gpus: int, on_lost: Callable[[str], None]) -> Iterator[Path]:
    """Start a Ray that nobody else can reach; yields a scratch folder that goes with it.

    Args:
        slots: trials at once.
        gpus: GPUs of all slots.
        on_lost: called, from another thread, with the name of a daemon of Ray's that died. Ray itself would notice
            after a minute, and end this process without a word.
    """
    # These are read by Ray's daemons, which inherit the environment; RAY_ADDRESS would lead to somebody else's Ray.
    os.environ.update(_SETTINGS)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray reads it once in a process's life
    os.environ.pop("RAY_ADDRESS", None)
    import ray

    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_short_folder()))
    keep_signals = Signals.current()
    ray.init(
        address="local",
        num_cpus=slots,
        num_gpus=gpus,
        include_dashboard=False,
        log_to_driver=True,
        logging_level=logging.ERROR,
        object_store_memory=_OBJECT_STORE_BYTES,
        _temp_dir=str(folder),
        _node_ip_address="127.0.0.1",
    )
    keep_signals.restore()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the watcher says the same in one line
    over = threading.Event()
    threading.Thread(target=_watch, args=(_daemons(), on_lost, over), name="ray-watch", daemon=True).start()
    try:
        yield folder
    finally:
        over.set()
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


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
