"""A run that is killed in the middle of a training goes on from its last epoch, to the same weights."""

import json
import signal
import subprocess
import sys

import pytest
from waiting import kill, needs_proc, wait_until

from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store

EPOCHS = 24
LEADERBOARD = f"""\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 32
    id: {{dataset: digits, classes: [0, 1, 2]}}
    split: {{train_per_class: 20, val_per_class: 4}}
    near:
      threes: {{dataset: digits, classes: [3]}}
    far:
      noise: {{dataset: uniform_noise, n: 12}}
    outliers:
      leaves: {{dataset: dead_leaves, n: 20}}
    training: {{epochs: {EPOCHS}, batch_size: 20, lr: 0.003, weight_decay: 0.01}}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0]
    entries: [gan]
backbones:
  tiny: {{architecture: test_resnet}}
inits:
  scratch: {{source: scratch}}
objectives:
  gan: {{objective: joint_confidence_gan, hyperparameters: {{width: 2}}}}
entries:
  gan: {{objective: gan, detector: msp}}
"""


def command(folder, name):
    arguments = ["run", "--all", "--jobs", "1", "--leaderboard", folder / "leaderboard.yaml"]
    for option in ("cache", "results", "site"):
        arguments += [f"--{option}", folder / name / option]
    return [sys.executable, "-m", "oodbench", *map(str, arguments)]


@pytest.mark.long
@needs_proc
def test_a_training_that_is_killed_goes_on_to_the_same_weights(tmp_path):
    """Three networks and three optimizers: a GAN. The run is killed twice, each time some epochs further."""
    (tmp_path / "leaderboard.yaml").write_text(LEADERBOARD)
    plan = make_plan(load_spec(tmp_path / "leaderboard.yaml"), Selection())
    key = plan.cells[0].chain[Kind.TRAIN]
    state = tmp_path / "killed" / "cache" / "partial" / key / "state.json"
    reached = []

    def epochs():
        try:
            return len(json.loads(state.read_bytes())["state"]["history"])
        except FileNotFoundError:
            return 0

    with (tmp_path / "log").open("w") as log:
        for _ in range(2):
            before = epochs()
            child = subprocess.Popen(command(tmp_path, "killed"), stdout=log, stderr=log, cwd=tmp_path)
            wait_until(lambda b=before: epochs() > b, "an epoch more")
            kill(child.pid)
            assert child.wait() == -signal.SIGKILL
            reached.append(epochs())
        assert 0 < reached[0] < reached[1] < EPOCHS
        store = Store(tmp_path / "killed" / "cache")
        assert not store.has(key)
    for name in ("killed", "whole"):  # in this process, which spares loading torch
        places = {"cache": tmp_path / name / "cache", "results": tmp_path / name / "results"}
        run_plan(plan, **places, workers=1, on_event=lambda *_: None)
    killed, whole = (read_all(tmp_path / name / "results")[0].records[0] for name in ("killed", "whole"))
    assert killed.provenance.checkpoint == whole.provenance.checkpoint
    assert killed.same_result(whole)
    histories = [Store(tmp_path / n / "cache").open(key).json("history") for n in ("killed", "whole")]
    assert histories[0] == histories[1]
    assert not list((tmp_path / "killed" / "cache" / "partial").iterdir())
