"""Job orchestration for vision research: one YAML, three engines, the same result whatever happens to the GPUs."""

__version__ = "0.1.0"
