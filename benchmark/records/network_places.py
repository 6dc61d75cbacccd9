"""Which networks records stand on: cells share a network, and only on the same one can they be paired.

A network's place is where it was trained: track × backbone × init × seed, and how. Trained twice, on two
machines or by two versions of the code, one place has two networks, which differ as if by another seed. The
hash of the weights tells them apart. Nothing here computes; this module must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.records.place import Place
from benchmark.records.record import Record, TrainedWith

NetworkPlace = tuple[str, str, str, int, str]  # track, backbone, init, seed, and how it was trained
Stands = Mapping[NetworkPlace, str]  # the hash of the weights by place


def stands_of(place: Place, record: Record) -> Stands:
    """The network that a record stands on; of an ensemble, its first one.

    Its place is known by how it was trained, and by the objective's name in leaderboard.yaml where the record
    says that: older ones of OOD detection do not say how. Empty where no weights are recorded.
    """
    where = place.track, place.backbone, place.init, place.seed
    return _stands(where, record.checkpoint, record.training, str(record.settings.get("objective", "")))


def stand_apart(a: Mapping[NetworkPlace, object], b: Mapping[NetworkPlace, object]) -> bool:
    """Whether two stand on different networks of one place, where they ought to share one.

    They are records, with their weights by place, or rows, with the set of their records' weights by place.
    """
    return any(b.get(place, weights) != weights for place, weights in a.items())


def _stands(
    where: tuple[str, str, str, int], weights: str, training: TrainedWith | None, objective: str = ""
) -> Stands:
    if not weights:
        return {}
    ways = [f"objective {objective}"] if objective else []
    if training is not None:
        ways.append(training.model_dump_json())
    return {(*where, way): weights for way in ways}
