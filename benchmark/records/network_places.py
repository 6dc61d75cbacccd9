"""Which networks records stand on: cells share a network, and only on the same one can they be paired.

A network's place is where it was trained: track × backbone × init × seed, and how. Trained twice, on two
machines or by two versions of the code, one place has two networks, which differ as if by another seed. The
hash of the weights tells them apart. Nothing here computes; this module must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.records.results import Record, RecordFile, TrainedWith
from benchmark.records.studies import StudyRecord

NetworkPlace = tuple[str, str, str, int, str]  # track, backbone, init, seed, and how it was trained
Stands = Mapping[NetworkPlace, str]  # the hash of the weights by place


def stands_of(file: RecordFile, record: Record) -> Stands:
    """The network that a record of OOD detection stands on; of an ensemble, its first one.

    Its place is known by the objective's name in leaderboard.yaml, and by how it was trained, which older
    records do not say. Empty where no weights are recorded.
    """
    weights = record.provenance.checkpoint if record.provenance else ""
    where = file.track, record.backbone, record.init, record.seed
    return _stands(where, weights, record.training, file.objective)


def stands_of_study(track: str, record: StudyRecord) -> Stands:
    """The network that a record of a study stands on; empty where no weights are recorded."""
    where = track, record.backbone, record.init, record.seed
    return _stands(where, record.checkpoint or "", record.training)


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
