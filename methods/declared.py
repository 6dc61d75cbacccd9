"""What a method's file declares, read without running it: pages compare settings, and import no torch.

`read` follows the names in the text of a file, and of the files of this room that it imports from. What it
cannot follow it does not guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from methods.source import Unclear, registered


@dataclass(frozen=True)
class Declared:
    """A method, as far as settings are concerned."""

    hyperparameters: Mapping[str, Any] = field(default_factory=dict)  # published defaults
    starts_from: str | None = None  # of an objective, as the three below in `methods.objective`
    first_phase: str | None = None
    trusted: bool = False
    step_name: str | None = None  # of a detector that moves images: the hyper-parameter that is the step
    transductive: bool = False  # whether its scores depend on other test images
    ensemble: bool = False  # whether it scores by several networks


def read(family: str, name: str) -> Declared | None:
    """What the file of the method `name` declares; None without such a file, or if it cannot be followed."""
    try:
        said = dict(registered(f"methods.{family}.{name}")).get(name)
        if said is None:
            return None
        return Declared(
            hyperparameters={key: written.value() for key, written in said.fields.items()},
            starts_from=said.said("starts_from"),
            first_phase=said.said("first_phase"),
            trusted=said.said("trusted", False),
            step_name=said.said("step_name"),
            transductive=said.said("transductive", False),
            ensemble="EnsembleDetector" in said.names,
        )
    except (OSError, SyntaxError, Unclear):
        return None
