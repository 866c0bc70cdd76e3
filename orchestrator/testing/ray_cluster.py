"""`RayCluster`: a development Ray of cluster/ray/dev-cluster, driven from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.base.paths import bundled

MISSING = 3
"""What `dev-cluster up` ends with where Ray is not installed."""
_COMMAND_PATIENCE = 240.0
_PATIENCE = 90.0
_ANSWER_PATIENCE = 10.0
_LOOK = 0.1
_OWN_FOLDER = "Ray's own: "


class RayClusterError(Exception):
    """`dev-cluster` ended with `code`; the text is what it said."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class RayCluster:
    """A real Ray of several nodes on this machine; whatever is done to it, it is waited for.

    Attributes:
        folder: all that it keeps.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[str, str] = {}
        self._added: set[str] = set()
        self._disturbed = False

    def up(self, **size: int | str) -> None:
        """Bring up all that does not run; it goes when this process ends.

        Args:
            size: nodes, cpus, gpus, gpu_type, most_nodes, where they are not the default.

        Raises:
            RayClusterError: It does not come up; `code` is `MISSING` where Ray is missing.
        """
        options = [text for name, value in size.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        self.dev_cluster("up", *options, "--while", str(os.getpid()))

    def down(self) -> None:
        """End it and remove all that it keeps."""
        self.dev_cluster("down")

    def mend(self) -> None:
        """Bring it back to what it was when it came up, whatever was done to it."""
        if self._disturbed:
            self.dev_cluster("up")
            for name in self._added.intersection(self.nodes):
                self.remove_node(name, deadline=5)
        self._disturbed, self._added = False, set()

    def add_node(self, **size: int) -> str:
        """One more node, of other `cpus` and `gpus` if need be; its name."""
        options = [text for name, value in size.items() for text in (f"--{name}", str(value))]
        self._disturbed = True
        added = self.dev_cluster("add-node", *options).strip()
        self._added.add(added)
        return added

    def kill_node(self, name: str, noticed: bool = True) -> None:
        """Lose a machine and all that runs there; Ray notices after some 3 s.

        Args:
            name: of the node.
            noticed: wait until it has.
        """
        self._disturbed = True
        self.dev_cluster("kill-node", name)
        if noticed:
            self.wait_for(lambda: name not in self.nodes)

    def start_node(self, name: str) -> None:
        """Start a lost node."""
        self.dev_cluster("start-node", name)

    def remove_node(self, name: str, deadline: int = 20) -> None:
        """Drain a node, end it when nothing runs there any more or at the deadline (in seconds), and forget it."""
        self.dev_cluster("remove-node", name, "--deadline", str(deadline))
        self.wait_for(lambda: name not in self.nodes)

    def kill_head(self) -> None:
        """Lose the head, and with it all that Ray knew."""
        self._disturbed = True
        self.dev_cluster("kill-head")

    def start_head(self) -> None:
        """Start the head under its old address; the nodes are there again, what ran on them is not."""
        self.dev_cluster("start-head")

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Ray's commands and drivers on this machine talk to it."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return ours | self.variables

    @property
    def variables(self) -> dict[str, str]:
        """Those of Ray in it."""
        if not self._found:
            lines = [line.removeprefix("export ") for line in self.dev_cluster("env").splitlines() if "=" in line]
            self._found = dict(line.split("=", 1) for line in lines)
        return self._found

    @property
    def address(self) -> str:
        """The URL of its dashboard, which takes jobs."""
        return self.variables["RAY_API_SERVER_ADDRESS"]

    @property
    def token_file(self) -> Path:
        """Holds the token without which it answers nobody."""
        return self.folder / "token"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that Ray says are alive, by name, without the head."""
        return tuple(sorted(node["node_name"] for node in self.seen() if node["state"] == "ALIVE"))

    def seen(self) -> list[dict[str, Any]]:
        """All nodes that Ray knows or knew, in its own words, without the head."""
        found = self.get("/api/v0/nodes?detail=1&limit=1000")["data"]["result"]["result"]
        return [node for node in found if not node["is_head_node"]]

    def written(self) -> str:
        """All that Ray has logged on all machines."""
        (line,) = (line for line in self.dev_cluster("status").splitlines() if line.startswith(_OWN_FOLDER))
        logs = Path(line.removeprefix(_OWN_FOLDER)).parents[2].glob("**/logs/**/*")
        return "\n".join(path.read_text(errors="replace") for path in logs if path.is_file())

    def get(self, path: str, document: Any = None) -> Any:
        """What the head answers, to a POST where there is a document.

        Raises:
            OSError: Nothing, or that it refuses.
        """
        headers = {"Authorization": f"Bearer {self.token_file.read_text()}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.address + path, body, headers)
        with urllib.request.urlopen(request, timeout=_ANSWER_PATIENCE) as answer:
            return json.load(answer)

    def wait_for(self, condition: Callable[[], object], patience: float = _PATIENCE) -> None:
        """Wait until something holds.

        Raises:
            TimeoutError: It does not; the text says what the cluster looks like.
        """
        until = time.monotonic() + patience
        while not condition():
            if time.monotonic() > until:
                states = {node["node_name"]: node["state"] for node in self.seen()}
                raise TimeoutError(f"it never happened; nodes: {states}")
            time.sleep(_LOOK)

    def dev_cluster(self, command: str, *arguments: str) -> str:
        """What `dev-cluster COMMAND` prints.

        Raises:
            RayClusterError: It failed.
        """
        script = bundled("cluster") / "ray" / "dev-cluster"
        argv = (sys.executable, "-B", str(script), command, *arguments, "--at", str(self.folder))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_COMMAND_PATIENCE)
        if done.returncode:
            raise RayClusterError(done.returncode, (done.stderr or done.stdout).strip())
        return done.stdout
