"""Tags against a vocabulary, column by column: which rows keep a tag, and how many tags are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.values import Wanted

if TYPE_CHECKING:
    import pyarrow as pa


class TagCheck:
    """Counts the tags of a column, those of them that its vocabulary lacks, and rows that are left without any.

    Args:
        wanted: a column of tags with a vocabulary.
    """

    def __init__(self, wanted: Wanted) -> None:
        import pyarrow as pa

        self._wanted = wanted
        self._names = pa.array(wanted.names.ordered, pa.string())
        self._tags = self._unknown = self._rows = 0

    def known(self, column: pa.ChunkedArray) -> np.ndarray[Any, Any] | None:
        """Whether each row has a tag of the vocabulary, (n,) bool; None where tags are numbers already."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = column.combine_chunks()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.split_pattern(column, pattern=self._wanted.separator)
        tags = pc.list_flatten(column)
        if not (pa.types.is_string(tags.type) or pa.types.is_large_string(tags.type)):
            return None
        trimmed = pc.utf8_trim_whitespace(tags.cast(pa.string()))
        real = pc.fill_null(pc.not_equal(trimmed, ""), False).to_numpy(zero_copy_only=False)
        known = pc.is_in(trimmed, value_set=self._names).to_numpy(zero_copy_only=False)
        parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        counts = np.bincount(parents[known], minlength=len(column))
        self._tags += int(real.sum())
        self._unknown += int((real & ~known).sum())
        self._rows += int((counts == 0).sum())
        return counts > 0

    def tell(self, listing: Listing) -> None:
        """List the counts."""
        field = self._wanted.field
        if self._unknown:
            share = f"{self._unknown:,} of {self._tags:,} tags"
            listing.add(field, f"{share} are not among the {len(self._names):,} of the vocabulary: they are dropped")
        if self._rows:
            listing.add(f"{self._rows:,} rows", f"none of its {field} is in the vocabulary", self._rows)
