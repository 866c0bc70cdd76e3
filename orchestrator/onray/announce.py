"""Tells Ray's autoscaler what is wanted: `python -P -m orchestrator.onray.announce '[{"CPU": 8, "GPU": 1}, …]'`.

Ray keeps room for these bundles, beside each other, until another list takes its place; an empty one asks for nothing.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Tell it.

    Args:
        arguments: a list of bundles as JSON, each a mapping from a resource to how much of it.

    Returns:
        0.
    """
    import ray
    from ray.autoscaler.sdk import request_resources

    bundles = [{str(name): count for name, count in bundle.items()} for bundle in json.loads(arguments[0])]
    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    request_resources(bundles=bundles)
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
