"""Fingerprints of code are kept for the life of a process; tests that change code have them made anew."""

import importlib

from benchmark.store import fingerprints


def forget_sources(*, files=True):
    """Forget what was read of all code; unless `files`, still know where each module's file is."""
    importlib.invalidate_caches()
    for cached in ("code_fingerprint", "reached", "_text", "_parsed", "_described", "_neutral"):
        getattr(fingerprints, cached).cache_clear()
    if files:
        fingerprints._source.cache_clear()
