"""What attacks made of the images of a network, image by image: of all of them, or of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from benchmark.attacks.batches import Rows, join
from benchmark.attacks.evaluate import Attempts
from benchmark.store.artifacts import Artifact, Draft

T = TypeVar("T")

ROWS, LEFT_OUT = "rows", "left_out"  # the files of a shard


@dataclass(frozen=True)
class Tried:
    """Rows by what was tried on the images.

    ``clean``, ``attack <name>`` and ``epsilon <ε>`` are of the network, ``transfer`` is of another one's
    examples, ``detector <name> id`` and ``detector <name> ood`` are of a detector.
    """

    rows: dict[str, Rows] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # attacks and detectors, and why

    @staticmethod
    def joined(shards: Sequence[Tried]) -> Tried:
        """All images, in order; what does not apply to some of them is left out of all."""
        left_out = {name: why for shard in shards for name, why in shard.left_out.items()}
        names = dict.fromkeys(name for shard in shards for name in shard.rows if name not in left_out)
        rows = {name: join([shard.rows[name] for shard in shards if name in shard.rows]) for name in names}
        return Tried(dict(rows), left_out)

    @staticmethod
    def read(shard: Artifact) -> Tried:
        """What `write` left."""
        rows: dict[str, dict[str, Tensor]] = {}
        for path, column in shard.tensors(ROWS).items():
            name, _, of = path.rpartition("/")
            rows.setdefault(name, {})[of] = column
        return Tried(dict(rows), shard.json(LEFT_OUT))

    def write(self, draft: Draft) -> None:
        """Leave it in an artifact."""
        columns = {f"{name}/{of}": column for name, rows in self.rows.items() for of, column in rows.items()}
        draft.tensors(ROWS, columns)
        draft.json(LEFT_OUT, self.left_out)

    def accuracy(self, name: str) -> float:
        """The share of the images that are right."""
        return self.rows[name]["right"].double().mean().item()

    @property
    def on_network(self) -> Attempts:
        """The attacks on the network, by name."""
        return Attempts(self.rows["clean"], _named("attack", self.rows), _named("attack", self.left_out))


def _named(kind: str, tried: dict[str, T]) -> dict[str, T]:
    return {name.removeprefix(f"{kind} "): of for name, of in tried.items() if name.startswith(f"{kind} ")}
