"""Who takes part: every contender by name, and the modules that each needs."""

from __future__ import annotations

from peers.race import Contender

OURS = Contender("orchestrator", "peers.ours:views")
OURS_COPIED = Contender("orchestrator, bytes per record", "peers.ours:copies")
LIMIT = Contender("memory map and bytes() (the limit)", "peers.arrow_rows:limit")
BY_HAND = Contender("pyarrow, buffers by hand", "peers.arrow_rows:by_hand")
OURS_LOADER = Contender("orchestrator", "peers.ours:loader")

_HUGGING_FACE = ("datasets",)
_FOLDER = ("torchvision",)
_MOSAIC = ("streaming",)
_LIT = ("litdata",)
_TARS = ("webdataset",)
_GRAIN = ("array_record", "grain")

BY_ROW = (
    Contender("pyarrow by row", "peers.arrow_rows:own_rows"),
    Contender("Hugging Face by row", "peers.hugging_face:rows", _HUGGING_FACE),
    Contender("LMDB by key", "peers.lmdb_rows:rows", ("lmdb",)),
    Contender("ImageFolder by row, bytes only", "peers.folder_of_files:rows", _FOLDER),
    Contender("Streaming by row", "peers.mosaic:rows", _MOSAIC),
    Contender("LitData by row", "peers.lit:rows", _LIT),
    Contender("ArrayRecord by row", "peers.grain_records:rows", _GRAIN),
)
IN_BULK = (
    Contender("Hugging Face in batches of 64", "peers.hugging_face:batches", _HUGGING_FACE),
    Contender("Streaming iterating (py1e)", "peers.mosaic:stream", _MOSAIC),
    Contender("LitData iterating", "peers.lit:stream", _LIT),
    Contender("ArrayRecord in batches of 64", "peers.grain_records:batches", _GRAIN),
    Contender("grain iterating", "peers.grain_records:stream", _GRAIN),
    Contender("WebDataset (buffer of 1000)", "peers.tars:stream", _TARS),
)

GROUPS = (("hugging_face", "lmdb_rows", "folder_of_files"), ("mosaic", "lit", "tars", "grain_records"))
"""Formats that lie on the disk at the same time, beside our own."""

_LOADERS = (
    ("Hugging Face", "peers.hugging_face", _HUGGING_FACE),
    ("ImageFolder", "peers.folder_of_files", _FOLDER),
    ("LitData", "peers.lit", _LIT),
    ("WebDataset", "peers.tars", _TARS),
    ("Streaming", "peers.mosaic", _MOSAIC),
    ("grain", "peers.grain_records", _GRAIN),
)
LOADERS = tuple(
    Contender(f"{name}, {decoder}", f"{module}:loader", needs, decoder)
    for name, module, needs in _LOADERS
    for decoder in ("torchvision", "simplejpeg")
    if (name, decoder)
    != ("grain", "torchvision")  # its workers take seconds to start, and it is far behind with either
)

OURS_WRITER = Contender("orchestrator, writer without checks", "peers.ours:write")
OURS_BUILD = Contender("orchestrator build, 2 processes", "peers.ours:build_by_two")
WRITERS = (
    OURS_WRITER,
    Contender("Streaming MDSWriter", "peers.mosaic:write", _MOSAIC),
    Contender("LitData optimize, 1 worker", "peers.lit:write", _LIT),
    Contender("LitData optimize, 2 workers", "peers.lit:write_by_two", _LIT),
    Contender("Hugging Face save_to_disk", "peers.hugging_face:write", _HUGGING_FACE),
    Contender("pyarrow IPC file", "peers.arrow_rows:write"),
    Contender("WebDataset ShardWriter", "peers.tars:write", _TARS),
    Contender("ArrayRecordWriter", "peers.grain_records:write", _GRAIN),
    Contender("LMDB", "peers.lmdb_rows:write", ("lmdb",)),
)
BUILDERS = (
    OURS_BUILD,
    Contender("orchestrator build, 1 process", "peers.ours:build_alone"),
    *WRITERS,
)

PACKAGES = (
    "array-record",
    "datasets",
    "grain",
    "litdata",
    "lmdb",
    "mosaicml-streaming",
    "numpy",
    "pillow",
    "pyarrow",
    "simplejpeg",
    "torch",
    "torchvision",
    "webdataset",
    "xxhash",
)
