"""Seeds derived from names, so that no result depends on the order or the number of workers."""

from __future__ import annotations

import hashlib
import json


def derive_seed(*names: str | int) -> int:
    """Hash `names` to a seed in [0, 2**63).

    The same names give the same seed in every process, on every machine and in any order of calls.
    A list of names is hashed as JSON, so that ``("a", "b")`` and ``("ab",)`` differ.
    """
    digest = hashlib.sha256(json.dumps(names, ensure_ascii=True).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
