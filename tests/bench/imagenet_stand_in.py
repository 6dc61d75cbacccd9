"""Print what a track of ImageNet's size takes, by images that stand in for its own.

A ResNet-50 of random weights, trained for an epoch on a few images, is run as `imagenet_openood` is: images
of 224 × 224 pixels, features of all sets in one pass, detectors on features, and ODIN, which needs gradients.
What the images show makes no difference to time and memory. Seconds of each stage and its largest resident
memory are those of the manifests; they are scaled to the 187,600 images of `imagenet_openood`, one worker's
hours.

Run: python tests/bench/imagenet_stand_in.py               with one worker and with two; half an hour
     python tests/bench/imagenet_stand_in.py --images 400 --workers 1
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
LEADERBOARD = """\
version: 1
tracks:
  stand_in:
    title: Images of ImageNet's size
    image_size: 224
    id: {{dataset: digits, n: {each}}}
    split: {{train_per_class: {train}, val_per_class: 1}}
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
    """Print a table a number of workers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2500, help="of all sets together")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    for workers in arguments.workers:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), arguments.images // 5, workers)


def _measure(folder: Path, each: int, workers: int) -> None:
    leaderboard = folder / "leaderboard.yaml"
    leaderboard.write_text(LEADERBOARD.format(each=each, train=max(2, each // 40)))
    places = ("cache", "results", "site")
    where = [part for name in places for part in (f"--{name}", str(folder / name))]
    command = [sys.executable, "-m", "oodbench", "run", "--all", "--leaderboard", str(leaderboard), *where]
    start = time.perf_counter()
    done = subprocess.run([*command, "--jobs", str(workers)], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    stages: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for path in folder.glob("cache/objects/*/*/manifest.json"):
        made = json.loads(path.read_text())["made"]
        stage = "odin" if made["label"].endswith("scores of odin") else made["kind"]
        stages[stage][0] += made["seconds"]
        stages[stage][1] = max(stages[stage][1], made["peak_memory_mb"])
    print(f"{5 * each} images, {workers} worker{'s' * (workers > 1)}: {wall:.0f} s")
    for stage, (seconds, memory) in sorted(stages.items()):
        count = {"extract": (5 * each, FULL), "odin": (5 * each - 10 * (each // 40 + 1), TESTED)}.get(stage)
        scaled = f"; {seconds / count[0] * count[1] / 3600:5.1f} h of {count[1]:,}" if count else ""
        print(f"  {stage:10} {seconds:7.1f} s, {memory:6.0f} MB{scaled}")


if __name__ == "__main__":
    main()
