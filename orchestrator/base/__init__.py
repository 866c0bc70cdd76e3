"""What every layer stands on: errors, clock and id seams, atomic files, processes, paths, redaction."""
