"""Why a job waits, or runs as it does: reasons in words and numbers, and remedies that were tried."""

from orchestrator.scheduling.explain.runs import explain_running, maintenance_of
from orchestrator.scheduling.explain.why import Reasons, explain, explain_all

__all__ = ["Reasons", "explain", "explain_all", "explain_running", "maintenance_of"]
