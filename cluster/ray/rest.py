"""What the head says over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from common.console import ClusterError
from layout import Cluster

_PATIENCE = 10.0


@dataclass(frozen=True)
class Seen:
    """A node as Ray sees it, the head among them.

    Attributes:
        id: what Ray calls it.
        resources: of all of it.
        since: when it came, in seconds.
    """

    id: str
    resources: dict[str, float]
    since: float


def alive_or_error(cluster: Cluster) -> dict[str, list[Seen]]:
    """The nodes that are alive, by their names; several have the same where one that was lost is back too soon.

    Raises:
        ClusterError: The head does not answer.
    """
    found = _get(cluster, "/api/v0/nodes?detail=1&limit=1000")["data"]["result"]["result"]
    seen: dict[str, list[Seen]] = {}
    for node in found:
        if node["state"] == "ALIVE":
            one = Seen(node["node_id"], node["resources_total"] or {}, node["start_time_ms"] / 1000)
            seen.setdefault(node["node_name"], []).append(one)
    return seen


def alive(cluster: Cluster) -> dict[str, list[Seen]]:
    """The nodes that are alive, by their names; none where the head does not answer."""
    try:
        return alive_or_error(cluster)
    except ClusterError:
        return {}


def _get(cluster: Cluster, path: str) -> Any:
    token = cluster.token_file.read_text()
    request = urllib.request.Request(cluster.dashboard + path, headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ClusterError(f"the head answers {path} with {error.code}") from None
    except (OSError, ValueError) as error:
        raise ClusterError(f"the head does not answer: {getattr(error, 'reason', error)}") from None
