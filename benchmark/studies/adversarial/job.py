"""Measuring a network under adversarial attacks."""

from __future__ import annotations

from benchmark.jobs.job import Task
from benchmark.store.artifacts import Artifact
from benchmark.studies.adversarial.config import AdversarialConfig
from benchmark.studies.config import SubjectInputs

LIBRARIES = ("numpy", "scipy", "torch", "timm")
Config = AdversarialConfig
Inputs = SubjectInputs


def run(task: Task[Config, Inputs[Artifact]]) -> None:
    """Attack the images of a shard; or measure all, attacked here or in shards."""
    from benchmark.backbones.checkpoint import Checkpoint, Pieces
    from benchmark.studies.adversarial.attack import Attacked
    from benchmark.studies.adversarial.measure import measure
    from benchmark.studies.adversarial.tried import Tried

    config, inputs, draft = task
    attacked = Attacked(config, inputs)
    if inputs.shards is None:
        tried = attacked.tried(Pieces(Checkpoint(draft.partial)))
    else:
        tried = Tried.joined([Tried.read(shard) for shard in inputs.shards])
        draft.json("parts", [shard.manifest["made"] for shard in inputs.shards])
    if config.shard is None:
        draft.json("measured", measure(attacked, tried))
    else:
        tried.write(draft)
