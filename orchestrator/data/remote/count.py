"""How many bytes the cache holds at most, so that not every file is looked at for each one that is fetched.

The number is an upper bound: what is added is counted before it is there, and what is deleted is not counted. It is
made anew from the files themselves whenever it says that there is no room, and after every 64 additions at the latest:
whatever is wrong with it, after a power cut for example, passes by itself.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.base.files import read_json, write_json

_ADDITIONS = 64


class HeldBytes:
    """The number, in a small file; whoever calls holds the cache's lock.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, size: int, bound: int) -> bool:
        """Count `size` more bytes, if it is known that they fit into `bound`; False where the files must be counted."""
        known = read_json(self._path) or {}
        held, left = known.get("bytes"), known.get("left")
        if not isinstance(held, int) or not isinstance(left, int) or left <= 0 or held + size > bound:
            return False
        self._write(held + size, left - 1)
        return True

    def counted(self, held: int) -> None:
        """The files were counted."""
        self._write(held, _ADDITIONS)

    def _write(self, held: int, left: int) -> None:
        write_json(self._path, {"bytes": held, "left": left}, durable=False)
