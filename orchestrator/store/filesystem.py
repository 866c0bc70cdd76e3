"""Whether a folder lies on a network file system, where SQLite's locks and its write-ahead log cannot be trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import StoreError

_KERNEL = "afs beegfs ceph cifs davfs fhgfs gfs2 glusterfs gpfs lustre nfs nfs4 ocfs2 orangefs panfs smb3 smbfs wekafs"
_FUSE = "ceph ceph-fuse curlftpfs gcsfuse glusterfs goofys juicefs mount-s3 rclone s3fs sshfs"
NETWORK = frozenset(_KERNEL.split()) | {f"fuse.{name}" for name in _FUSE.split()}


def refuse_network_file_system(folder: Path, type_of: Callable[[Path], str] | None = None) -> None:
    """Refuse a folder that other machines can also write to.

    Args:
        folder: it must exist.
        type_of: the name of the file system's type; default: what the kernel says.

    Raises:
        StoreError: with what to do.
    """
    kind = (type_of or file_system_type)(folder)
    if kind in NETWORK:
        raise StoreError(
            f"{folder} lies on a network file system ({kind}); the store would be damaged there",
            hint="set ORCHESTRATOR_STATE_DIR to a folder on a local disk; a profile's runs_dir may stay where it is",
        )


def file_system_type(folder: Path) -> str:
    """The type of the mount that holds `folder`, such as `ext4`; empty where the kernel does not say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    resolved = folder.resolve()
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = Path(_unescape(before.split()[4]))
        if resolved.is_relative_to(mount) and len(mount.parts) >= best:  # a later mount hides an earlier one
            best, kind = len(mount.parts), after.split()[0]
    return kind


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
