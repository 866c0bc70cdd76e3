"""The command `orchestrator`: imports nothing until an interrupt would be answered by a line, not by a traceback."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""


def main() -> None:
    """Run one command and end the process with its exit code."""
    try:
        from orchestrator.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing more was done\n")
        sys.exit(INTERRUPTED)
