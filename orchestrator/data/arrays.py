"""Names for the numpy array types that the data modules pass to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
UInt32s = npt.NDArray[np.uint32]
Bytes8 = npt.NDArray[np.uint8]
Float32s = npt.NDArray[np.float32]
Structured = npt.NDArray[np.void]
AnyArray = npt.NDArray[Any]
