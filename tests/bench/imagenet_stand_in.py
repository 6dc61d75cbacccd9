"""Print what a track of ImageNet's size takes, by images that stand in for its own.

A ResNet-50 of random weights, trained for an epoch on a few images, is run as `imagenet_openood` is: images
of 224 × 224 pixels, features of all sets in one pass, detectors on features, and ODIN, which needs gradients.
What the images show makes no difference to time and memory. Seconds of each stage and its largest resident
memory are those of the manifests; they are scaled to the 187,600 images of `imagenet_openood`, one worker's
hours. Shards are of 256 images here, so that several workers have some of so few images; there of 4,096.

Run: python tests/bench/imagenet_stand_in.py               with one worker and with two; half an hour
     python tests/bench/imagenet_stand_in.py --small   five minutes each
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

FULL = 187_600  # images of imagenet_openood: 55,000 of training and validation, 50,000 to test, the OOD sets
TESTED = FULL - 55_000
SHORTER = """\
import benchmark.jobs.shards, oodbench
benchmark.jobs.shards.PIXELS //= 16
oodbench.main()
"""
LEADERBOARD = """\
version: 1
tracks:
  stand_in:
    title: Images of ImageNet's size
    image_size: 224
    id: {{dataset: digits{classes}}}
    split: {{train_per_class: 4, val_per_class: 1}}
    near:
      glyphs: {{dataset: glyphs, n: {each}}}
      photo_patches: {{dataset: photo_patches, n: {each}}}
    far:
      gaussian_noise: {{dataset: gaussian_noise, n: {each}}}
      uniform_noise: {{dataset: uniform_noise, n: {each}}}
    training: {{epochs: 1, batch_size: 10, lr: 0.001, weight_decay: 0.01}}
    backbones: [resnet50]
    inits: [scratch]
    seeds: [0]
    entries: [msp, energy, knn, vim, mahalanobis, react, ash, gram, odin]
backbones:
  resnet50: {{architecture: resnet50}}
inits:
  scratch: {{source: scratch}}
entries:
  msp: {{detector: msp}}
  energy: {{detector: energy}}
  knn: {{detector: knn, hyperparameters: {{k: 2}}}}
  vim: {{detector: vim, hyperparameters: {{dim: 10}}}}
  mahalanobis: {{detector: mahalanobis}}
  react: {{detector: react}}
  ash: {{detector: ash}}
  gram: {{detector: gram}}
  odin: {{detector: odin}}
"""


def main() -> None:
    """Print a table for each number of workers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="some 500 images, not 2,500")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    for workers in arguments.workers:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), workers, small=arguments.small)


def _measure(folder: Path, workers: int, *, small: bool) -> None:
    leaderboard = folder / "leaderboard.yaml"
    chosen = {"classes": ", classes: [0, 1]", "each": 40} if small else {"classes": "", "each": 175}
    leaderboard.write_text(LEADERBOARD.format(**chosen))
    places = ("cache", "results", "site")
    where = [part for name in places for part in (f"--{name}", str(folder / name))]
    command = [sys.executable, "-c", SHORTER, "run", "--all", "--leaderboard", str(leaderboard), *where]
    start = time.perf_counter()
    done = subprocess.run([*command, "--jobs", str(workers)], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    stages: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    images = 0
    for path in folder.glob("cache/objects/*/*/manifest.json"):
        made = json.loads(path.read_text())["made"]
        stage = "odin" if "scores of odin" in made["label"] else made["kind"]
        stages[stage][0] += made["seconds"]
        stages[stage][1] = max(stages[stage][1], made["peak_memory_mb"])
        if stage == "data":
            images += json.loads((path.parent / "card.json").read_text())["n"]
    scaled = {"extract": (images, FULL), "odin": (images - 5 * (2 if small else 10), TESTED)}
    print(f"{images} images, {workers} worker{'s' * (workers > 1)}: {wall:.0f} s")
    for stage, (seconds, memory) in sorted(stages.items()):
        here, full = scaled.get(stage, (0, 0))
        told = f"; {seconds / here * full / 3600:5.1f} h of {full:,}" if full else ""
        print(f"  {stage:10} {seconds:7.1f} s, {memory:6.0f} MB{told}")


if __name__ == "__main__":
    main()
