"""Tracking: workers spool into the job's directory, one forwarder sends it on, once and in order (decisions 21)."""
