"""What a worker sends to others in collectives, in bytes, by the usual cost of each: of a ring, or of direct sends."""

from __future__ import annotations


class Traffic:
    """Counts for one group; W is its size. On every worker but for uneven parts the same.

    Attributes:
        sent: bytes so far.
    """

    def __init__(self) -> None:
        self.sent = 0

    def all_gather(self, own: int, workers: int) -> None:
        """Everybody gets `own` bytes of each: (W - 1) own."""
        self.sent += (workers - 1) * own

    def in_parts(self, whole: int, workers: int) -> None:
        """All-to-all, reduce-scatter, and a broadcast averaged over the workers: (W - 1) / W of `whole` bytes."""
        self.sent += (workers - 1) * whole // workers

    def all_reduce(self, whole: int, workers: int) -> None:
        """A reduce-scatter and an all-gather of the parts: 2 (W - 1) / W of it."""
        self.sent += 2 * (workers - 1) * whole // workers

    def directly(self, others: int) -> None:
        """So many bytes, of which nothing stays here."""
        self.sent += others
