"""Print what the one pass costs, extraction, every cacheable detector and its metrics, over a bare forward.

All times are of one thread, of the same images and the same network, within one run; the ratios are what
counts, and the load of the machine should not decide them, so that CPU time is the default clock.

Run: python tests/bench/one_pass.py            (a) to (d), some ten minutes
     python tests/bench/one_pass.py --memory   (e)
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmark.backbones.create import create_network
from benchmark.backbones.extract import Tap, extract
from benchmark.backbones.network import Network, to_pixels
from benchmark.datasets import DataMissing, dataset
from benchmark.jobs.inputs import read_features
from benchmark.jobs.scoring import ROWS
from benchmark.metrics import detection_metrics
from benchmark.store.artifacts import Store
from methods.base import Detector, EnsembleDetector, Features, GradientDetector, Head, Signal, check_scores
from methods.registry import detectors
from methods.tensors import BATCH

T = TypeVar("T")
CLASSES, SIDE = 10, 32
SETS = {"cifar10": "CIFAR-10 test", "cifar100": "CIFAR-100 test", "mnist": "MNIST test"}
INSIDE = "cifar10"
EXTRACTION_GOAL, TOTAL_GOAL, PEER_GOAL = 0.90, 1.25, 5.0
# Those of pytorch-ood's whose counterpart here scores cached features, by the name of that.
STEPPED = {"ODIN", "MahalanobisODIN"}  # need the input gradient in both: not cacheable
MANY_PASSES = {
    "mc_dropout",
    "gradnorm",
    "gradient_uncertainty",
    "nac",
}  # theirs: several passes, or gradients


class Clock:
    """Seconds that a work takes, and what it returns."""

    def __init__(self, kind: str) -> None:
        self.now: Callable[[], float] = time.process_time if kind == "cpu" else time.perf_counter

    def __call__(self, work: Callable[[], T]) -> tuple[float, T]:
        start = self.now()
        found = work()
        return self.now() - start, found


# ---- images and network


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=str(__doc__).split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=int, default=10_000, help="test images of each of the three sets, at most")
    add(
        "--train", type=int, default=10_000, help="training images, as many of each class, that detectors fit"
    )
    add("--val", type=int, default=1_000, help="validation images, taken from the training set too")
    add(
        "--steps",
        type=int,
        default=200,
        help="training steps of the network; untrained ones predict one class",
    )
    add("--repeats", type=int, default=2, help="runs of forward and extraction in turn; the fastest counts")
    add(
        "--peer-images",
        type=int,
        default=500,
        help="images of each set that pytorch-ood scores; 0: leave out",
    )
    add(
        "--clock",
        choices=["cpu", "wall"],
        default="cpu",
        help="CPU time of this process, or time on the wall",
    )
    add(
        "--stem",
        choices=["cifar", "timm"],
        default="cifar",
        help="of the resnet18: a 3×3 convolution, as is usual for 32×32 pixels, or timm's, which scales "
        "them down to 8×8 first, and so makes the forward some fifteen times cheaper",
    )
    add("--only", nargs="+", metavar="NAME", help="these detectors alone, for trying this script")
    add("--memory", action="store_true", help="measure peak memory instead, in two fresh processes")
    add("--memory-images", type=int, nargs=2, default=[10_000, 60_000], help="image counts for --memory")
    add("--memory-child", type=int, help=argparse.SUPPRESS)
    add("--cache", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def images_of(name: str, split: str, count: int | None) -> tuple[Tensor, Tensor, bool]:
    """uint8 images, labels, and whether they are real ones."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    os.environ.setdefault("OODBENCH_MIRROR", str(default))
    try:
        made = dataset(name).build(SIDE, count, 0, split=split)
    except DataMissing:
        rng = torch.Generator().manual_seed(sum(map(ord, name + split)))
        count = count or 50_000
        images = torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=rng)
        return images, torch.arange(count) % CLASSES, False
    return torch.from_numpy(made.images), torch.from_numpy(made.labels), True


@dataclass
class Data:
    tests: dict[str, Tensor]
    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]


def load(args: argparse.Namespace) -> Data:
    tests, real = {}, {}
    for name in SETS:
        tests[name], _, real[name] = images_of(name, "test", args.images)
    images, labels, real["cifar10 train"] = images_of("cifar10", "train", None)
    absent = [name for name, found in real.items() if not found]
    if absent:
        print(f"NOT REAL IMAGES: {', '.join(absent)} not in {os.environ['OODBENCH_MIRROR']}; random pixels")
    order = torch.argsort(labels, stable=True)
    sizes = torch.bincount(labels, minlength=CLASSES).tolist()
    a, b = args.train // CLASSES, args.val // CLASSES
    parts = torch.split(order, sizes)
    first, second = torch.cat([p[:a] for p in parts]), torch.cat([p[a : a + b] for p in parts])
    return Data(tests, (images[first], labels[first]), (images[second], labels[second]))


def trained(args: argparse.Namespace, data: Data | None) -> Network:
    """A network trained on some of the data; without data, the one in the cache."""
    torch.manual_seed(0)
    network = create_network("resnet18", CLASSES, SIDE, args.stem)
    if data is None:
        network.model.load_state_dict(Store(args.cache).open("network").tensors("model"))
        return network.eval().requires_grad_(requires_grad=False)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    network.train()
    for _ in range(args.steps):
        rows = torch.randint(len(data.train[1]), (128,))
        loss = nn.functional.cross_entropy(network(to_pixels(data.train[0][rows])), data.train[1][rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval().requires_grad_(requires_grad=False)


# ---- (a), (b): the forward and the extraction


@torch.inference_mode()
def bare(network: Network, images: Tensor) -> None:
    for batch in torch.split(images, BATCH):
        x = to_pixels(batch).sub_(network.mean).div_(network.std)
        network.model(x.contiguous(memory_format=torch.channels_last))


def extracted(
    tap: Tap, store: Store, name: str, parts: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> None:
    """Write all that detectors need of some images to the cache, as a run does."""
    with ExitStack() as stack:
        drafts = {
            what: stack.enter_context(store.create(key(name, what), {}))
            for what in ("base", "gram", "rank_one")
        }
        extract(tap, parts, labels, drafts)


def extract_id(tap: Tap, store: Store, data: Data) -> None:
    """Write the features of the training and validation images."""
    images = {"train": data.train[0], "val": data.val[0]}
    extracted(tap, store, "id", images, {"train": data.train[1], "val": data.val[1]})


def key(name: str, what: str) -> str:
    return f"{name}-{what}"


def stored(store: Store, name: str) -> dict[str, Tensor]:
    """Memory-mapped tensors."""
    found: dict[str, Tensor] = {}
    for what in ("base", "gram", "rank_one"):
        found |= store.open(key(name, what)).tensors("features")
    return found


# ---- (c): the detectors


@dataclass
class Cost:
    """Seconds of one detector; `why` it gave no scores."""

    name: str
    fit: float = 0.0
    score: float = 0.0
    metrics: float = 0.0
    why: str = ""
    aurocs: list[float] = field(default_factory=list)


def cacheable(only: list[str] | None) -> dict[str, Detector]:
    """Every detector, at its defaults, that scores features of one pass alone."""
    found = {}
    for name, cls in detectors().items():
        if issubclass(cls, EnsembleDetector) or Signal.MAPS in cls.needs or (only and name not in only):
            continue
        steps = {cls.step_name: 0.0} if issubclass(cls, GradientDetector) else {}
        made = cls.configure(steps)
        if isinstance(made, GradientDetector) and made.step > 0:
            print(f"{name}: takes a step of {made.step} that cannot be set to 0; left out")
        elif isinstance(made, Detector):
            found[name] = made
    return found


def fitted(unfitted: Detector, train: Features, val: Features, head: Head) -> Detector:
    rng = torch.Generator().manual_seed(0)
    return unfitted.fit(train, val, head, rng)


def scored(scorer: Detector, tests: Mapping[str, Features]) -> dict[str, Tensor]:
    """Scores of every set, in chunks, as a run makes them."""
    return {
        name: check_scores(
            torch.cat([scorer.score(features[i : i + ROWS]) for i in range(0, len(features), ROWS)]),
            len(features),
        )
        for name, features in tests.items()
    }


def judged(scores: Mapping[str, Tensor]) -> list[float]:
    """AUROC of the first set against each other one, with all the metrics besides."""
    inside = scores[INSIDE].numpy()
    return [detection_metrics(inside, s.numpy()).auroc for name, s in scores.items() if name != INSIDE]


def measured(
    clock: Clock,
    unfitted: Detector,
    train: Features,
    val: Features,
    head: Head,
    tests: Mapping[str, Features],
) -> Cost:
    """What one detector costs."""
    cost = Cost(unfitted.name)
    try:
        cost.fit, scorer = clock(lambda: fitted(unfitted, train, val, head))
        cost.score, scores = clock(lambda: scored(scorer, tests))
        cost.metrics, cost.aurocs = clock(lambda: judged(scores))
    except Exception as error:  # a detector may fail in any way; the table tells
        cost.why = f"{type(error).__name__}: {error}"
    return cost


# ---- (d): pytorch-ood


def peers(
    network: Network, train: Features, fit_images: Tensor, fit_labels: Tensor
) -> Iterator[tuple[str, str, Callable[[], Callable[[Tensor], Tensor]]]]:
    """Name of theirs, of ours, and what makes the one that scores images (N, 3, S, S) in [0, 1].

    They are fitted on features that are there already, but for two that take images alone.
    """
    from pytorch_ood import detector as theirs

    model, fc = network.model, network.model.get_classifier()
    h, z, y = train.penultimate.clone(), train.logits.clone(), train.labels.clone()

    def last(images: Tensor) -> Tensor:
        return model.forward_features(network.normalised(images)).contiguous()

    def encoder(images: Tensor) -> Tensor:
        return model.forward_head(last(images), pre_logits=True)

    def few() -> DataLoader[Any]:
        return DataLoader(TensorDataset(to_pixels(fit_images), fit_labels), batch_size=BATCH)

    of_maps = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc)
    # For detectors that differentiate: parameters that have gradients, and nothing that vmap cannot take.
    live = nn.Sequential(_Normalised(network), copy.deepcopy(model).requires_grad_())
    stem = nn.Sequential(model.conv1, model.bn1, model.act1, model.maxpool)
    stages = [
        nn.Sequential(_Normalised(network), stem, model.layer1),
        model.layer2,
        model.layer3,
        model.layer4,
    ]

    def of_h(made: Any) -> Any:
        return made.fit_features(h, y)

    def of_z(made: Any) -> Any:
        return made.fit_logits(z, y)

    def of_last(made: Any) -> Any:
        return made.fit_feature_maps(h[:, :, None, None], y)

    def several() -> Any:
        made = theirs.MultiMahalanobis(stages)
        return made.fit_structured([s.clone() for s in train.stages], y)

    def named(prefix: str) -> Callable[[str], bool]:
        return lambda name: name.startswith(prefix)

    builders: dict[tuple[str, str], Callable[[], Any]] = {
        ("ASH", "ash"): lambda: theirs.ASH(last, of_maps),
        ("DICE", "dice"): lambda: of_h(theirs.DICE(encoder, fc.weight, fc.bias, p=0.9)),
        ("EnergyBased", "energy"): lambda: theirs.EnergyBased(network),
        ("Entropy", "entropy"): lambda: theirs.Entropy(network),
        ("fDBD", "fdbd"): lambda: of_h(theirs.fDBD(encoder, fc)),
        ("GEN", "gen"): lambda: theirs.GEN(network),
        ("GMM", "gmm"): lambda: of_h(theirs.GMM(encoder)),
        ("GradNorm", "gradnorm"): lambda: theirs.GradNorm(live, param_filter=named("1.fc.weight")),
        ("GradUncertainty", "gradient_uncertainty"): lambda: theirs.GradUncertainty(
            live, param_filter=named("1.fc")
        ),
        ("Gram", "gram"): lambda: theirs.Gram(of_maps, stages, CLASSES, [1, 2, 3, 4, 5]).fit(few()),
        ("KLMatching", "klm"): lambda: of_z(theirs.KLMatching(network)),
        ("KNN", "knn"): lambda: of_h(theirs.KNN(encoder, k=50)),
        ("LTS", "lts"): lambda: theirs.LTS(encoder, fc),
        ("Mahalanobis", "mahalanobis"): lambda: of_h(theirs.Mahalanobis(encoder)),
        ("MaxLogit", "max_logit"): lambda: theirs.MaxLogit(network),
        ("MaxSoftmax", "msp"): lambda: theirs.MaxSoftmax(network),
        ("MCD", "mc_dropout"): lambda: theirs.MCD(network, samples=30, mode="mean"),
        ("MultiMahalanobis", "mahalanobis_ensemble"): several,
        ("NACUE", "nac"): lambda: theirs.NACUE(live, [live[1].global_pool]).fit(few()),
        ("NCI", "nci"): lambda: of_h(theirs.NCI(encoder, fc)),
        ("NNGuide", "nnguide"): lambda: of_h(theirs.NNGuide(encoder, fc)),
        ("OpenMax", "openmax"): lambda: of_z(theirs.OpenMax(network)),
        ("PNML", "pnml"): lambda: of_h(theirs.PNML(encoder, fc)),
        ("RankFeat", "rankfeat"): lambda: theirs.RankFeat(last, of_maps),
        ("ReAct", "react"): lambda: of_last(theirs.ReAct(last, of_maps)),
        ("RMD", "relative_mahalanobis"): lambda: of_h(theirs.RMD(encoder)),
        ("SCALE", "scale"): lambda: theirs.SCALE(last, of_maps),
        ("SHE", "she"): lambda: of_h(theirs.SHE(encoder, fc)),
        ("TemperatureScaling", "temperature_scaling"): lambda: of_z(theirs.TemperatureScaling(network)),
        ("ViM", "vim"): lambda: of_h(theirs.ViM(encoder, d=256, w=fc.weight, b=fc.bias)),
        ("VRA", "vra"): lambda: of_last(theirs.VRA(last, of_maps)),
    }
    for (name, our_name), build in builders.items():
        yield name, our_name, build


class _Normalised(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.register_buffer("mean", network.mean, persistent=False)
        self.register_buffer("std", network.std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def against_peers(
    args: argparse.Namespace,
    clock: Clock,
    network: Network,
    data: Data,
    train: Features,
    ours: Mapping[str, float],
    extraction: float,
) -> None:
    """Print theirs and ours in microseconds an image, the sum of both and their ratio."""
    try:
        import pytorch_ood
    except ImportError:
        print("(d) pytorch-ood is not installed: left out")
        return
    images = torch.cat([part[: args.peer_images] for part in data.tests.values()])
    some = slice(None, None, max(1, len(data.train[1]) // 500))
    print(
        f"\n(d) pytorch-ood {pytorch_ood.__version__}, {len(images):,} images, fitted on {len(train):,} "
        f"(Gram and NACUE on {len(data.train[1][some]):,}); microseconds an image, fits not counted"
    )
    rows = []
    for name, our_name, build in peers(network, train, data.train[0][some], data.train[1][some]):
        if our_name not in ours:
            if not args.only:
                print(f"    {name:<20} left out: ours gave no scores")
            continue
        try:
            scorer = build()

            def predict(scorer: Any = scorer) -> None:
                with torch.no_grad():
                    for batch in torch.split(images, BATCH):
                        scorer.predict(to_pixels(batch))

            rows.append((clock(predict)[0] / len(images), name, our_name))
        except Exception as error:  # theirs may fail in any way too
            print(f"    {name:<20} left out: {type(error).__name__}: {str(error)[:100]}")
    for seconds, name, our_name in sorted(rows, reverse=True):
        print(f"    {name:<20} {1e6 * seconds:10.1f}   ours {our_name:<22} {1e6 * ours[our_name]:8.2f}")
    kinds = {
        "all": rows,
        "one plain forward each": [row for row in rows if row[2] not in MANY_PASSES],
    }
    for kind, chosen in kinds.items():
        theirs = sum(seconds for seconds, _, _ in chosen)
        own = extraction + sum(ours[our_name] for _, _, our_name in chosen)
        print(
            f"    {kind}: {len(chosen)} detectors, theirs {1e6 * theirs:,.0f}, ours {1e6 * own:,.0f} with "
            f"the extraction: ratio {theirs / own:.1f}, goal at least {PEER_GOAL:g}"
        )


# ---- (e): memory


class Peak(threading.Thread):
    """Samples this process's anonymous memory; the pages of mapped files, which can be dropped, are none."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest, self.stopped = 0, threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.002):
            self.highest = max(self.highest, anonymous())

    def stop(self) -> int:
        self.stopped.set()
        self.join()
        return max(self.highest, anonymous())


def anonymous() -> int:
    """RssAnon in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("no RssAnon in /proc/self/status; Linux alone has it")


@contextmanager
def peak(phases: dict[str, int], name: str) -> Iterator[None]:
    ctypes.CDLL(None).malloc_trim(0)  # what earlier phases freed
    sampler = Peak()
    sampler.start()
    try:
        yield
    finally:
        phases[name] = max(phases.get(name, 0), sampler.stop())


def memory_child(args: argparse.Namespace, count: int) -> None:
    """Print as JSON the peaks of extraction, fit and scoring of `count` images, all from a cache."""
    store = Store(args.cache)
    network = trained(args, None)
    images = {name: store.open(f"images-{count}-{name}").tensors("images")["images"] for name in SETS}
    tap = Tap(network, to_pixels(images[INSIDE][:16]))
    phases = {"before": anonymous()}
    with peak(phases, "extraction"):
        for name, part in images.items():
            extracted(tap, store, f"{count}-{name}", {name: part}, {})
    id_tensors = stored(store, "id")
    train, val = read_features(id_tensors, "train"), read_features(id_tensors, "val")
    tests = {name: read_features(stored(store, f"{count}-{name}"), name) for name in SETS}
    failed, most = [], ("", 0)
    for name, unfitted in cacheable(args.only).items():
        own: dict[str, int] = {}
        try:
            with peak(own, "fit"):
                scorer = fitted(unfitted, train, val, tap.head)
            with peak(own, "scoring"):
                judged(scored(scorer, tests))
        except Exception as error:
            failed.append(f"{name}: {error}"[:100])
            continue
        phases |= {phase: max(phases.get(phase, 0), value) for phase, value in own.items()}
        most = max(most, (name, own["scoring"]), key=lambda pair: pair[1])
        del scorer
    print(json.dumps({"phases": phases, "failed": failed, "most": most[0]}))


def memory(args: argparse.Namespace, data: Data) -> None:
    """Print the peaks of two fresh processes, and their ratio."""
    network = trained(args, data)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "cache")
        store.prepare()
        with store.create("network", {}) as draft:
            draft.tensors("model", network.weights())
        extract_id(Tap(network, to_pixels(data.val[0][:16])), store, data)
        for count in args.memory_images:
            share = count // len(SETS)
            for name, images in data.tests.items():
                layout = {"images": (torch.uint8, (share, 3, SIDE, SIDE))}
                with (
                    store.create(f"images-{count}-{name}", {}) as draft,
                    draft.rows("images", layout) as writer,
                ):
                    for start in range(0, share, BATCH):
                        rows = torch.arange(start, min(start + BATCH, share)) % len(images)
                        writer.append("images", images[rows])
            command = [sys.executable, __file__, "--memory-child", str(count), "--cache", str(store.root)]
            command += ["--stem", args.stem, *(["--only", *args.only] if args.only else [])]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    print("(e) highest anonymous memory in MiB; 'before': the interpreter, its libraries and the network")
    print(f"    {'images':>10}" + "".join(f"{phase:>12}" for phase in found[0]["phases"]))
    for count, one in zip(args.memory_images, found, strict=True):
        values = "".join(f"{value / 2**20:12.0f}" for value in one["phases"].values())
        print(f"    {count:>10,}{values}   most in scoring: {one['most']}")
    working = [max(one["phases"]["extraction"], one["phases"]["scoring"]) for one in found]
    above = [value - one["phases"]["before"] for value, one in zip(working, found, strict=True)]
    print(f"    highest of extraction and scoring: ratio {working[1] / working[0]:.2f}")
    print(f"    the same without what was there before: {above[1] / above[0]:.2f}")
    print(f"    (fits are of {args.train:,} training images in both)")
    for line in found[0]["failed"]:
        print(f"    no scores: {line}")


# ---- all of it


def main() -> None:
    args = arguments()
    # One thread throughout; the training of the network, which is not measured, may have them all.
    with threadpool_limits(1):
        if args.memory_child is not None:
            torch.set_num_threads(1)
            memory_child(args, args.memory_child)
        elif args.memory:
            memory(args, load(args))
        else:
            data = load(args)
            network = trained(args, data)
            torch.set_num_threads(1)
            measure(args, data, network)


def measure(args: argparse.Namespace, data: Data, network: Network) -> None:
    clock = Clock(args.clock)
    total = sum(map(len, data.tests.values()))
    print(f"{total:,} images ({', '.join(SETS.values())}), {args.clock} time, one thread")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "cache")
        store.prepare()
        tap = Tap(network, to_pixels(data.tests[INSIDE][:16]))
        extract_id(tap, store, data)
        right = (stored(store, "id")["val.logits"].argmax(dim=1) == data.val[1]).double().mean()
        print(f"resnet18, {args.steps} training steps, accuracy {100 * right:.0f} % of validation images")

        runs = []
        for _ in range(args.repeats):
            forward = extraction = 0.0
            for name, images in data.tests.items():  # in turn, so that a busy moment hits both
                forward += clock(lambda images=images: bare(network, images))[0]
                extraction += clock(lambda n=name, i=images: extracted(tap, store, n, {n: i}, {}))[0]
            runs.append((forward, extraction))
        forward, extraction = (min(column) for column in zip(*runs, strict=True))
        print(f"\n(a) bare forward: {forward:.2f} s, {1e6 * forward / total:.1f} microseconds an image")
        print(f"(b) extraction:   {extraction:.2f} s, {1e6 * extraction / total:.1f} microseconds an image:")
        print(f"    {forward / extraction:.1%} of the bare throughput, goal at least {EXTRACTION_GOAL:.0%}")

        id_tensors = stored(store, "id")
        train, val = read_features(id_tensors, "train"), read_features(id_tensors, "val")
        tests = {name: read_features(stored(store, name), name) for name in SETS}
        costs = [measured(clock, d, train, val, tap.head, tests) for d in cacheable(args.only).values()]
        costs.sort(key=lambda cost: cost.score + cost.metrics, reverse=True)
        done = [cost for cost in costs if not cost.why]
        print(f"\n(c) {len(done)} detectors, fitted on {len(train):,} images; AUROC against the two others")
        print(f"    {'':<22} {'fit s':>8} {'score s':>8} {'metrics s':>9} {'us/image':>9}")
        for cost in done:
            aurocs = " ".join(f"{100 * a:5.1f}" for a in cost.aurocs)
            each = 1e6 * cost.score / total
            times = f"{cost.fit:8.2f} {cost.score:8.3f} {cost.metrics:9.3f} {each:9.2f}"
            print(f"    {cost.name:<22} {times}   {aurocs}")
        for cost in costs:
            if cost.why:
                print(f"    {cost.name:<22} no scores: {cost.why[:140]}")
        scoring, metrics, fits = (sum(getattr(c, what) for c in done) for what in ("score", "metrics", "fit"))
        print(f"    together: fit {fits:.2f} s, score {scoring:.2f} s, metrics {metrics:.2f} s")
        whole = extraction + scoring + metrics
        print(
            f"    extraction + scores + metrics: {whole:.2f} s, {whole / forward:.3f} of the bare forward, "
            f"goal at most {TOTAL_GOAL:g} (fits not counted; with them {(whole + fits) / forward:.3f})"
        )
        if args.peer_images:
            ours = {cost.name: cost.score / total for cost in done}
            against_peers(args, clock, network, data, train, ours, extraction / total)


if __name__ == "__main__":
    main()
