"""The worked examples of the specification."""

import json
from pathlib import Path
from typing import Any

import torch

DATA = Path(__file__).parents[1] / "methods" / "data"
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def worked(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and unrounded values, by name."""
    found = json.loads((DATA / f"{name}.json").read_text())
    return found["inputs"], found["values"]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)
