"""Why a job waits, or runs as it does: reasons in words and numbers, and remedies that were tried."""
