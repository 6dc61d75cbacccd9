"""On a machine with a GPU: whether all comes out there as on its CPU, and how much faster it is.

track      the digits track, seed 0, trained and measured on each: `oodbench compare` of the two
features   a ResNet-18's features of random images, by the one pass
detectors  every detector fitted and scored on the same made-up features
attack     accuracy under PGD-20 of the ResNet-18

Each part states its tolerance and fails beyond it. A ratio is the CPU's time, with all its cores, over the
GPU's, of the second of two runs. Float32 is computed in full: TF32 is off.

Run: python tests/bench/on_a_gpu.py                    exits with 1 where there is no GPU, or a part fails
     python tests/bench/on_a_gpu.py detectors attack   these parts only
     python tests/bench/on_a_gpu.py --rehearse         on a pretended device, to see that it runs: no figures
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmark.attacks import attack_accuracy
from benchmark.backbones.create import create_network
from benchmark.backbones.extract import Tap
from methods.base import AnyDetector, EnsembleDetector, Features, GradientDetector, Head
from methods.registry import attack, detectors

ROOT = Path(__file__).parents[2]
NEAR_AUROC = 0.01  # median |Δ| over cells; networks of two processors differ by 0.0011 (results/spread.json)
FEATURE = 1e-3  # largest |Δ| over the largest magnitude: float32 through 18 layers
SCORE = 1e-3  # |Δ| over the scores' standard deviation, of 99 % of images: bins and thresholds jump
ACCURACY = 0.02  # |Δ| of the accuracy under attack: signs of gradients near 0 differ
CLASSES, SIDE, STEPS = 10, 32, 20
WIDTHS = (64, 128, 256, 512)  # of the stages; the last are the penultimate features


class Timed:
    """What some work gave, and how many seconds it took the last time."""

    runs: ClassVar = 2  # kernels are chosen and memory is taken in the first

    def __init__(self, work: Callable[[], Any], device: torch.device) -> None:
        for _ in range(self.runs):
            start = time.perf_counter()
            self.found = work()
            if device.type in ("cuda", "xpu", "mps"):
                torch.accelerator.synchronize()
            self.seconds = time.perf_counter() - start


def told(what: str, gap: float, tolerance: float, rest: str) -> bool:
    """Print one comparison; whether it is within its tolerance."""
    held = gap <= tolerance
    print(f"{what:>22}: differs by {gap:.2e} ({'at most' if held else 'FAILS:'} {tolerance:g}); {rest}")
    return held


def track(device: torch.device, images: int) -> Iterator[bool]:
    """Train and measure on each; all the rest of the command line is the same."""
    with tempfile.TemporaryDirectory() as name:
        folder, seconds = Path(name), {}
        for where in ("cpu", device.type):
            start = time.perf_counter()
            places = [f"--{what}={folder / where / what}" for what in ("results", "site", "cache")]
            command = [sys.executable, "oodbench.py", "run", "--track", "digits", "--seed", "0", *places]
            command += ["--device", where]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            seconds[where] = time.perf_counter() - start
        records = [str(folder / where / "results") for where in seconds]
        file = folder / "compared.json"
        command = [sys.executable, "oodbench.py", "compare", *records, "--json", str(file)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (found,) = json.loads(file.read_text())["comparisons"]
    if not any(condition.get("accelerator") for condition in found["b"]):
        print("                 track: FAILS: no record of the second run names a GPU")
        yield False
        return
    own = found["tracks"]["digits"]["own"]["all"]["near.auroc"]
    took = " and ".join(f"{of:.0f} s" for of in seconds.values())
    rest = f"{own['n']} cells, mean {own['mean']:.4f}; {took}"
    yield told("track, near AUROC", own["median"], NEAR_AUROC, rest)


def network_of(device: torch.device) -> Any:
    torch.manual_seed(0)
    return create_network("resnet18", CLASSES, SIDE, "cifar").requires_grad_(requires_grad=False).to(device)


def pixels(images: int) -> Tensor:
    return torch.rand(images, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def features(device: torch.device, images: int) -> Iterator[bool]:
    """The one pass, features brought back to the CPU as in a run."""
    given = pixels(images // 4)
    runs = []
    for place in (torch.device("cpu"), device):
        tap = Tap(network_of(place), given[:2])

        def work(tap: Tap = tap) -> list[Features]:
            with torch.inference_mode():
                return [tap(batch, "gram", "rank_one") for batch in torch.split(given, 256)]

        runs.append(Timed(work, place))
    here, there = runs
    gaps: dict[str, float] = {}
    for one, other in zip(here.found, there.found, strict=True):
        for name, parts in one.collected().items():
            for a, b in zip(parts, other.collected()[name], strict=True):
                gaps[name] = max(gaps.get(name, 0.0), float((a - b).abs().max() / a.abs().max()))
    rest = f"{len(given) / there.seconds:.0f} images/s, {here.seconds / there.seconds:.1f} × the CPU's"
    for name, gap in gaps.items():
        yield told(name, gap, FEATURE, rest)


def made_up(rows: int, seed: int) -> tuple[Features, Head]:
    """Clusters that a head tells apart, in every signal."""
    shared, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    weight = torch.randn(CLASSES, WIDTHS[-1], generator=shared) / WIDTHS[-1] ** 0.5
    labels = torch.arange(rows) % CLASSES
    h = (5 * weight[labels] + torch.randn(rows, WIDTHS[-1], generator=own)).relu()
    logits = h @ weight.T
    stages = [h[:, :width] + torch.rand(rows, width, generator=own) for width in WIDTHS[:-1]]
    shares = torch.rand(rows, WIDTHS[-1], 2, 2, generator=own)
    last = h[:, :, None, None] * shares / shares.mean(dim=(2, 3), keepdim=True)  # h is its average
    maps = [h[:, :8, None, None] * torch.rand(rows, 8, 4, 4, generator=own), last]
    made = Features(
        logits,
        h,
        labels,
        stages=[*stages, h],
        gram=[torch.stack([stage**q for q in range(1, 6)], dim=1) for stage in stages],
        rank_one=h * torch.rand(rows, 1, generator=own),
        log_variances=torch.stack([logits.logsumexp(dim=1), logits.square().mean(dim=1)], dim=1),
        maps=maps,
    )
    return made, Head(weight)


def on(device: torch.device, given: Features) -> Features:
    found = given.collected()
    return given._with({name: tuple(part.to(device) for part in parts) for name, parts in found.items()})


def scored(unfitted: AnyDetector, device: torch.device, images: int) -> tuple[Timed, Timed]:
    """Its fit and its scores, of features that lie there already."""
    parts = []
    for seed, rows in enumerate((images, max(60, images // 10), images)):
        given, head = made_up(rows, seed)
        parts.append(on(device, given.including(outputs=unfitted.example_outputs(given.logits))))
    train, val, test = parts
    head = head.on(device)
    fitted = Timed(lambda: unfitted.fit(train, val, head, torch.Generator().manual_seed(0)), device)
    shown: Any = [test] * unfitted.members if isinstance(unfitted, EnsembleDetector) else test
    return fitted, Timed(lambda: fitted.found.score(shown), device)


def sweep(device: torch.device, images: int) -> Iterator[bool]:
    """Every detector that is registered; those that step images score without a step."""
    for name, cls in detectors().items():
        made = cls.configure({cls.step_name: 0.0} if issubclass(cls, GradientDetector) else {})
        try:
            (fit, here), (fit_there, there) = (scored(made, d, images) for d in (torch.device("cpu"), device))
        except Exception as error:  # told, and the others are tried: time on such a machine is short
            print(f"{name:>22}: FAILS: {error}")
            yield False
            continue
        gaps = (there.found.cpu() - here.found).abs() / here.found.std().clamp_min(1e-12)
        speed = f"fit {fit.seconds / fit_there.seconds:.1f} ×, score {here.seconds / there.seconds:.1f} ×"
        yield told(name, float(gaps.sort().values[int(0.99 * (len(gaps) - 1))]), SCORE, speed)


def attacked(device: torch.device, images: int) -> Iterator[bool]:
    """PGD on a network whose classes are equally frequent, from its own predictions."""
    given = pixels(images // 20)
    network = network_of(torch.device("cpu")).eval()
    with torch.no_grad():
        network.head.bias -= network(given).mean(dim=0)
        labels = network(given).argmax(dim=1)
    pgd = {"pgd": attack("pgd", steps=STEPS, epsilon=1 / 255, step_size=0.25 / 255)}

    def run(place: torch.device) -> Timed:
        there, x, y = copy.deepcopy(network).to(place), given.to(place), labels.to(place)
        return Timed(lambda: attack_accuracy(there, x, y, pgd, seed=0).robust["pgd"], place)

    here, there = run(torch.device("cpu")), run(device)
    rate = len(given) * STEPS / there.seconds
    ratio = here.seconds / there.seconds
    rest = f"{here.found:.3f} on the CPU; {rate:.0f} steps of an image/s, {ratio:.1f} × the CPU's"
    yield told("accuracy under attack", abs(here.found - there.found), ACCURACY, rest)


PARTS = {"track": track, "features": features, "detectors": sweep, "attack": attacked}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--images", type=int, help="that detectors score, 600 at least; else 10,000")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU: tells whether this runs")
    args = parser.parse_args()
    if unknown := set(args.parts) - PARTS.keys():
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    parts = [PARTS[name] for name in args.parts or PARTS]
    images = args.images or (600 if args.rehearse else 10_000)
    torch.backends.fp32_precision = "ieee"
    if args.rehearse:
        sys.path.insert(0, str(ROOT / "tests" / "helpers"))
        from benchmark.conformance.pretended import pretended

        Timed.runs = 1
        print("a rehearsal on a pretended device: no figure below is one of a GPU")
        with pretended() as device:
            return held(device, [part for part in parts if part is not track], images)
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        print("no GPU here: nothing is measured", file=sys.stderr)
        return 1
    print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else device}, torch {torch.__version__},")
    print(f"over the CPU with {torch.get_num_threads()} threads, {images} images")
    return held(device, parts, images)


def held(device: torch.device, parts: list[Callable[..., Iterator[bool]]], images: int) -> int:
    """Run the parts; 1 if one of them is not within its tolerance."""
    return 1 if False in [ok for part in parts for ok in part(device, images)] else 0


if __name__ == "__main__":
    sys.exit(main())
