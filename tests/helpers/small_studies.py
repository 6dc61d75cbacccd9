"""A leaderboard small enough that its studies run in seconds."""

from benchmark.plan.make import Selection, make_plan
from benchmark.records.files import read_records
from benchmark.records.text import record_path
from benchmark.run import run_plan
from benchmark.spec.load import load_spec

LEADERBOARD = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 16
    id: {dataset: digits, classes: [0, 1, 2, 3]}
    split: {train_per_class: 10, val_per_class: 4}
    near:
      nines: {dataset: digits, classes: [9]}
    far:
      noise: {dataset: uniform_noise, n: 12}
    training: {epochs: 2, batch_size: 10, lr: 0.003, weight_decay: 0.01}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0, 1]
    entries: [msp]
    studies:
      adversarial:
        networks: {cross_entropy: [scratch], robust: [scratch], fsr: [scratch]}
        full: {networks: {robust: [moved, moved_head]}}
        images_per_class: 3
        attacks:
          pgd: {method: pgd, hyperparameters: {steps: 2}}
          square: {method: square, hyperparameters: {queries: 3}}
        curves: pgd
        epsilons: [0.01, 0.1]
        steps: [1, 2]
        transfer: {source: cross_entropy, to: [robust]}
        detectors: [msp, knn]
        detector_attack: {steps: 2}
      corruptions:
        networks: {cross_entropy: [scratch]}
        kinds: [gaussian_noise, pixelate]
        scale: cifar_c
        images_per_class: 3
        detectors: [msp]
      label_noise:
        inits: [scratch]
        strengths: [0.0, 0.5, 1.0]
        noises: {uniform: {method: uniform}}
        methods:
          none: {objective: cross_entropy}
          glc: {objective: glc, trusted: 0.1}
        watched: {none: [0.5]}
        full:
          strengths: [0.0, 0.25, 0.5, 0.75, 1.0]
          noises: {flip: {method: flip}}
          methods: {forward: {objective: forward_correction}}
      imbalance:
        inits: [scratch]
        profiles: {exp: {method: exp, hyperparameters: {mu: 0.2}}}
        methods:
          none: {objective: cross_entropy}
          smote: {sampler: {method: smote}}
          costly: {objective: class_balanced}
        detectors: [msp]
backbones:
  tiny: {architecture: test_resnet}
inits:
  scratch: {source: scratch}
  moved: &moved
    source: adversarial
    of:
      source: fractaldb
      preset: fractaldb_tiny
      training: {epochs: 1, batch_size: 60, lr: 0.003, weight_decay: 0.01}
    hyperparameters: {attack_steps: 1}
  moved_head: {<<: *moved, tune: head}
objectives:
  robust: {objective: pgd_at, hyperparameters: {attack_steps: 1}}
entries:
  msp: {detector: msp}
"""


def written(folder, text=LEADERBOARD):
    path = folder / "leaderboard.yaml"
    path.write_text(text)
    return path


def planned(folder, text=LEADERBOARD, **selection):
    return make_plan(load_spec(written(folder, text)), Selection(**selection))


def run(folder, text=LEADERBOARD, **selection):
    plan = planned(folder, text, **selection)
    events = []
    places = {"cache": folder / "cache", "results": folder / "results"}
    done = run_plan(
        plan, **places, workers=1, on_event=lambda event, job, _: events.append((event, job.kind))
    )
    return plan, done, events


ALL = ("adversarial", "corruptions", "label_noise", "imbalance")


def of(made, study, row):
    return read_records(record_path(made[0] / "results", "small", row, study)).records
