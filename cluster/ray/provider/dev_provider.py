"""The "cloud" of a development cluster: its autoscaler has nodes from `dev-cluster add-node` and `remove-node`."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

_HEAD = "head"
_READY = {TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}


class DevProvider(NodeProvider):  # type: ignore[misc]
    """Knows the head and the nodes that it has brought; by their names, which are also their identifiers."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._lock = threading.Lock()
        self._tags = {_HEAD: {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: _HEAD, **_READY}}

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Those with these tags."""
        with self._lock:
            return [name for name, tags in self._tags.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        """Whether it is there."""
        return node_id in self._tags

    def is_terminated(self, node_id: str) -> bool:
        """Whether it is not."""
        return node_id not in self._tags

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Its tags."""
        return self._tags[node_id]

    def internal_ip(self, node_id: str) -> str:
        """Its address."""
        prefix: str = self.provider_config["prefix"]
        return f"{prefix}.0.1" if node_id == _HEAD else f"{prefix}.1.{node_id.removeprefix('n')}"

    def external_ip(self, node_id: str) -> str:
        """The same."""
        return self.internal_ip(node_id)

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Change some of its tags."""
        with self._lock:
            self._tags[node_id] = {**self._tags[node_id], **tags}

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        """Bring so many nodes."""
        names = self._dev_cluster("add-node", "--count", str(count)).split()
        with self._lock:
            self._tags.update({name: {**tags, **_READY} for name in names})

    def terminate_node(self, node_id: str) -> None:
        """Take a node away."""
        with self._lock:
            self._tags.pop(node_id, None)
        self._dev_cluster("remove-node", node_id)

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Nothing is to be prepared."""
        return cluster_config

    def _dev_cluster(self, command: str, *arguments: str) -> str:
        config = self.provider_config
        argv = (sys.executable, "-B", config["command"], command, *arguments, "--at", config["folder"])
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
