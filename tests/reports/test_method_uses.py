"""The lines of Python that pages of methods give run as they stand there."""

import attack_examples
import numpy as np
import plain_features as world
import pytest
import torch

import oodbench
from methods.cards import cards
from reports.pages.method_text import use_of

IMAGES, SIDE = 30, 4
FAMILIES = ("attacks", "noise_models", "profiles", "samplers")
PYTHON = [(family, name) for family in FAMILIES for name, card in cards(family).items()]
PACKAGED = {name for name, card in cards("attacks").items() if "package" in card.attributes}


def lines(family, name):
    return use_of(cards(family)[name], [], []).text


def given(name):
    """What the lines of a detector take, of random tensors."""
    card, found = cards("detectors")[name], {}
    for prefix, n, seed in (("train_", 200, 0), ("val_", 60, 1), ("", IMAGES, 5)):
        known = world.features(n, seed, name="" if "EnsembleDetector" in card.bases else name)
        for signal, parts in known.collected().items():
            several = signal in ("stages", "gram", "maps")
            title = {"penultimate": "features"}.get(signal, signal)
            found[f"{prefix}{title}"] = [*parts] if several else parts[0]
    found |= {"weight": world.WEIGHT, "bias": world.BIAS}
    images = torch.rand(60, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found |= {"images": images[:IMAGES], "val_images": images}
    wide = {"penultimate", "head"} & {*card.needs}

    def model(x):
        h = torch.relu(x.flatten(1)[:, : world.WIDTH] - 0.2)
        z = h @ world.WEIGHT.T + world.BIAS
        return (z, h) if wide else z

    if "outputs" in card.needs and "the network itself" in card.needs:
        found["outputs"] = lambda x: world.DETECTORS[name].example_outputs(model(x))
    if "EnsembleDetector" in card.bases:
        members = int(next(field.default for field in card.hyperparameters if field.name == "members"))
        found["logits"] = [found["logits"] + 0.1 * i for i in range(members)]
    return found | {"model": model}


@pytest.mark.parametrize("name", cards("detectors"))
def test_the_lines_of_a_detector_run(name):
    text = lines("detectors", name)
    scope = given(name)
    exec(text, scope)
    assert scope["scores"].shape == (IMAGES,)
    assert scope["scores"].dtype == torch.float64
    assert torch.isfinite(scope["scores"]).all()
    code = [line for line in text.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 4 or cards("detectors")[name].attributes.get("calibrates")
    assert max(map(len, text.splitlines())) <= 95


@pytest.mark.parametrize("name", ["energy", "knn", "vim", "react"])
def test_arrays_will_do(name):
    scope = {
        key: np.asarray(value) if isinstance(value, torch.Tensor) else value
        for key, value in given(name).items()
    }
    exec(lines("detectors", name), scope)
    assert len(scope["scores"]) == IMAGES


def test_lines_are_as_few_as_the_detector_allows():
    assert lines("detectors", "energy").splitlines()[2:] == [
        'scores = detector("energy").score(Features(logits))'
    ]
    assert lines("detectors", "vim").splitlines() == [
        "from oodbench import Features, Head, detector",
        "",
        "train = Features(train_logits, train_features, labels=train_labels)",
        "val = Features(val_logits, val_features, labels=val_labels)",
        'fitted = detector("vim").fit(train, val, Head(weight, bias))',
        "scores = fitted.score(Features(logits, features))",
    ]
    assert lines("detectors", "odin").splitlines()[2:] == [
        "network = lambda images: Features(model(images))",
        'scores = detector("odin").score_images(network, images)',
    ]


@pytest.mark.parametrize(("family", "name"), PYTHON)
def test_the_lines_of_other_methods_run(family, name, monkeypatch):
    rng = torch.Generator().manual_seed(0)
    if family == "attacks":
        if name in PACKAGED:
            pytest.skip("it runs thousands of passes of its own package")
        monkeypatch.setattr(oodbench, "attack", attack_examples.made, raising=False)  # with few steps
    labels = torch.tensor([0] * 9 + [1] * 7 + [2] * 3)
    scope = {"labels": labels, "classes": 100, "network": attack_examples.Small().eval()}
    pixels = torch.randint(0, 256, (len(labels), 3, 8, 8), generator=rng, dtype=torch.uint8)
    scope["images"] = pixels if family == "samplers" else pixels.double() / 255
    if family == "attacks":
        scope |= {"network": scope["network"].double(), "images": scope["images"][:2], "labels": labels[:2]}
    exec(lines(family, name), scope)
    match family:
        case "attacks":
            assert scope["attacked"].shape == scope["images"].shape
        case "noise_models":
            assert (len(scope["observed"]), scope["matrix"].shape) == (len(labels), (100, 100))
        case "profiles":
            assert (len(scope["counts"]), scope["counts"][0]) == (10, 5000)
        case "samplers":
            assert len(scope["images"]) == len(scope["labels"])
            assert len(scope["rows"]) > 0


def test_a_network_is_trained_by_the_command_line():
    card = cards("objectives")["trades"]
    assert use_of(card, ["trades+msp"], []).text == "oodbench run --full --entry trades+msp"
    study = [("digits", "adversarial")]
    assert use_of(card, [], study).text == "oodbench run --full --track digits --study adversarial"
    assert use_of(card, ["a b; rm"], study).text.endswith("--study adversarial")
    assert use_of(card, [], []) is None
