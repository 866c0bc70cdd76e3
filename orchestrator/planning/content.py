"""What makes two submitted jobs the same one again, so that the run times of the first are those of the second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def content_digest(source: str, overrides: Sequence[str], workdir: str) -> str:
    """Of all that makes the job what it is; what the file was called, and in which shell, does not count.

    Args:
        source: the workload, as written.
        overrides: as given with --set.
        workdir: where the user stood.
    """
    content = json.dumps([source, list(overrides), workdir])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
