"""Reading leaderboard.yaml into its models, and their JSON Schema. An error names file, line and key.

This module must not import torch: `oodbench --help`, `schema` and completion stay instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.spec.leaderboard import Spec
from benchmark.spec.references import dangling
from benchmark.spec.yaml_file import read_tree, refuse, validated
from benchmark.spec.yaml_tree import LinedDict


def load_spec(path: Path) -> Spec:
    """Read and check a leaderboard file.

    Raises
    ------
    SpecError
        If it cannot be read, is not YAML, has a duplicate or unknown key, a wrong type, or a name that
        nothing defines. The message names file, line and key, what was seen and what was expected.
    """
    return spec_of(path, read_tree(path, "a leaderboard file", "keys (version, tracks, …)"))


def spec_of(path: Path, tree: LinedDict) -> Spec:
    """Check what a leaderboard file says; errors as of `load_spec`."""
    spec = validated(path, tree, Spec)
    refuse(path, tree, dangling(spec))
    spec.read_from(path, tree)
    return spec


def json_schema() -> dict[str, Any]:
    """JSON Schema of leaderboard.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}
