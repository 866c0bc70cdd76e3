"""Imported by the server that all contenders are forked from: it imports what they will need, quietly."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os

_NOWHERE = os.open(os.devnull, os.O_WRONLY)
_BEFORE = os.dup(1), os.dup(2)
os.dup2(_NOWHERE, 1)
os.dup2(_NOWHERE, 2)
for _module in filter(None, os.environ.get("PEERS_PRELOAD", "").split(",")):
    with contextlib.suppress(ImportError):
        importlib.import_module(_module)
gc.collect()
gc.freeze()  # a collection in a fork must not copy all pages of what was imported
atexit.register(gc.unfreeze)  # else triton tells of all its objects as leaked when the server ends
os.dup2(_BEFORE[0], 1)
os.dup2(_BEFORE[1], 2)
for _descriptor in (_NOWHERE, *_BEFORE):
    os.close(_descriptor)
