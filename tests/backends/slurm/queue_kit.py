"""What squeue prints."""

from collections.abc import Mapping


def queue_line(allocation: str, state: str, job: str = "1", **fields: str) -> str:
    """One job as squeue prints it."""
    values: Mapping[str, str] = {
        "task": "N/A",
        "reason": "None",
        "start": "N/A",
        "ends": "N/A",
        "submitted": "1000",
        "priority": "7",
        "partition": "batch",
        "qos": "normal",
        "account": "lab",
        "nodes": "",
        "name": allocation,
        "comment": allocation.rpartition(".")[0],
    } | fields
    order = ("start", "ends", "submitted", "priority", "partition", "qos", "account", "nodes", "name", "comment")
    return "\x1e" + "\x1f".join([job, values["task"], state, values["reason"], *(values[k] for k in order)]) + "\x1f\n"
