"""Any classifier of torch as a subject: what is found in it, and that what it gives is what it computes."""

import json
import warnings

import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional

from benchmark.backbones.create import create_network
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import to_pixels
from benchmark.conformance.pretended import pretended
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.answers import NotFinite
from benchmark.evaluation.models.classifier import subject_of
from methods.base import GradientDetector
from methods.features import Signal
from methods.registry import detector
from methods.statistics import gram, rank_one

CLASSES = 5
ALL = frozenset({Signal.STAGES, Signal.GRAM, Signal.RANK_ONE, Signal.MAPS})
PLAIN = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def small_cnn(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(12, CLASSES),
    )  # fmt: skip


class Tokens(nn.Module):
    """Patches, blocks that keep everything as it is, and a head behind the mean of the tokens."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU()) for _ in range(6)
        )
        self.out = nn.Linear(16, CLASSES)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = tokens + block(tokens)
        return self.out(tokens.mean(dim=1))


def vgg_like():
    """Its head is called ``classifier.3``, as torchvision's MobileNetV3 has it."""
    model = torchvision.models.mobilenet_v3_small(num_classes=CLASSES)
    assert isinstance(model.classifier[3], nn.Linear)
    return model


def mlp_head():
    model = torchvision.models.resnet18(num_classes=CLASSES)
    model.fc = nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    return model


def swin():
    options = {"embed_dim": 16, "num_heads": (1, 2, 2, 2), "depths": (1, 1, 2, 1), "window_size": 4}
    return timm.create_model("swin_tiny_patch4_window7_224", img_size=32, num_classes=CLASSES, **options)


# model, side, its head, width of the penultimate features, channels of the stages
MODELS = {
    "torchvision ResNet-18": (
        lambda: torchvision.models.resnet18(num_classes=CLASSES), 64, "fc", 512, (64, 128, 256, 512),
    ),
    "timm ViT": (
        lambda: timm.create_model("test_vit", img_size=32, num_classes=CLASSES), 32, "head", 64, (64,) * 4,
    ),
    "timm ConvNeXt": (
        lambda: timm.create_model("convnext_atto", num_classes=CLASSES), 32, "head.fc", 320,
        (40, 80, 160, 320),
    ),
    "timm Swin": (swin, 32, "head.fc", 128, (16, 32, 64, 128)),
    "classifier.3": (vgg_like, 64, "classifier.3", 1024, None),
    "MLP head": (mlp_head, 64, "fc.2", 32, (64, 128, 256, 512)),
    "plain CNN": (small_cnn, 32, "7", 12, (8, 12)),
    "pooled tokens": (Tokens, 32, "out", 16, (16,) * 4),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    make, side, *expected = MODELS[request.param]
    torch.manual_seed(0)
    model = make().eval()
    images = torch.randint(256, (3, 3, side, side), dtype=torch.uint8)
    return model, images, subject_of(model, probe=images, normalise=PLAIN), expected


def by_hand(images):
    mean, std = (torch.tensor(values)[:, None, None] for values in PLAIN)
    return (images.float() / 255 - mean) / std


def test_the_logits_are_the_models_and_linear_in_the_penultimate_features(case):
    model, images, subject, (_, width, _) = case
    found = subject.features(images, ALL)
    with torch.no_grad():
        torch.testing.assert_close(found.logits, model(by_hand(images)), rtol=1e-5, atol=1e-5)
    assert found.penultimate.shape == (3, width)
    recomputed = functional.linear(found.penultimate, subject.head.weight, subject.head.bias)
    torch.testing.assert_close(recomputed, found.logits, rtol=1e-4, atol=1e-5)


def test_the_head_and_the_stages_are_found(case):
    _, images, subject, (name, width, channels) = case
    assert subject.card["head"] == {"layer": name, "features": width}
    assert subject.classes == CLASSES
    assert json.loads(json.dumps(subject.card)) == subject.card
    maps = subject.features(images, ALL).maps
    assert 1 <= len(maps) <= 4
    if channels is not None:
        assert tuple(m.shape[1] for m in maps) == channels
    assert len(subject.card["stages"]) == len(maps)


def test_statistics_are_those_of_the_maps(case):
    """Against `methods.statistics` on the maps that are handed out."""
    _, images, subject, _ = case
    found = subject.features(images, ALL)
    for stage, statistics, maps in zip(found.stages, found.gram, found.maps, strict=True):
        torch.testing.assert_close(stage, maps.mean(dim=(2, 3)))
        torch.testing.assert_close(statistics, gram(maps))
    assert ("rank_one" in found.collected()) == (Signal.RANK_ONE not in subject.missing)


def test_what_was_not_asked_for_is_not_there(case):
    _, images, subject, _ = case
    assert set(subject.features(images, ()).collected()) == {"logits", "penultimate"}


def test_no_hook_is_left_behind(case):
    model, images, subject, _ = case
    subject.features(images, ALL)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_gradients_flow_to_pixels(case):
    """`pixels` of uint8 images as floats is `features` of them, and each image has a gradient of its own."""
    _, images, subject, _ = case
    assert subject.differentiable == ""
    x = to_pixels(images).requires_grad_()
    found = subject.pixels(x)
    torch.testing.assert_close(found.logits.detach(), subject.features(images, ()).logits)
    [slope] = torch.autograd.grad(found.logits[0].sum(), x)
    assert slope[0].abs().sum() > 0
    assert slope[1:].abs().sum() == 0


def test_a_gradient_detector_runs_on_it(case):
    _, images, subject, _ = case
    odin = detector("odin")
    assert isinstance(odin, GradientDetector)
    assert odin.score_images(subject.pixels, to_pixels(images)).shape == (3,)


def test_features_need_no_gradient_of_weights(case):
    _, images, subject, _ = case
    assert not subject.features(images, ALL).logits.requires_grad


def test_rank_one_where_the_last_map_is_averaged():
    model = torchvision.models.resnet18(num_classes=CLASSES).eval()
    images = torch.rand(2, 3, 64, 64)
    found = subject_of(model, probe=images).features(images, ALL)
    torch.testing.assert_close(found.maps[-1].mean(dim=(2, 3)), found.penultimate)
    torch.testing.assert_close(found.rank_one, rank_one(found.maps[-1]))


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet"])
def test_a_network_of_the_suite_gives_what_its_tap_gives_to_the_bit(architecture):
    torch.manual_seed(0)
    network = create_network(architecture, CLASSES, 64)
    images = torch.randint(256, (5, 3, 64, 64), dtype=torch.uint8)
    subject = subject_of(network, probe=images)
    found = subject.features(images, ALL).collected()
    tap = Tap(network, to_pixels(images))
    with torch.no_grad():
        expected = tap(to_pixels(images), "gram", "rank_one", maps=True).collected()
    assert found.keys() == expected.keys()
    for name, parts in expected.items():
        assert all(map(torch.equal, found[name], parts)), name
    assert torch.equal(subject.head.weight, tap.head.weight)
    assert torch.equal(subject.pixels(to_pixels(images)).logits, found["logits"][0])
    # The same weights in timm's own model are the same network.
    assert subject.fingerprint == subject_of(network.model).fingerprint


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext"])
def test_a_model_of_timm_gives_the_same_signals_as_the_suites_network(architecture):
    torch.manual_seed(0)
    network = create_network(architecture, CLASSES, 64)
    images = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8)
    mine = subject_of(network.model, probe=images, normalise=(network.mean.flatten(), network.std.flatten()))
    suites = subject_of(network, probe=images)
    found, expected = (s.features(images, ALL).collected() for s in (mine, suites))
    assert found.keys() == expected.keys()
    for name, parts in expected.items():
        for ours, theirs in zip(found[name], parts, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert mine.missing == suites.missing


@pytest.mark.parametrize("make", [small_cnn, Tokens, lambda: timm.create_model("test_resnet", num_classes=5)])
def test_on_another_device(make):
    """Images are taken there, features and the head come back to the CPU, and so do gradients."""
    torch.manual_seed(0)
    model, images = make().eval(), torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    x = to_pixels(images).requires_grad_()

    def all_of(subject):
        [slope] = torch.autograd.grad(subject.pixels(x).logits.sum(), x)
        return {
            **subject.features(images, ALL).collected(),
            "slope": (slope,),
            "head": (subject.head.weight,),
        }

    here = subject_of(model, probe=images, normalise=PLAIN)
    expected = all_of(here)
    with pretended() as device:
        there = subject_of(model, probe=images, normalise=PLAIN, device=device)
        assert there.device == device
        assert there.fingerprint == here.fingerprint
        found = all_of(there)
    assert found.keys() == expected.keys()
    for name, parts in found.items():
        for ours, theirs in zip(parts, expected[name], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_size_of_the_probe_wins_over_timms():
    model = timm.create_model("test_resnet", num_classes=CLASSES).eval()
    subject = subject_of(model, probe=torch.rand(2, 3, 48, 40))
    assert subject.prepare(Image.new("RGB", (99, 99))).shape == (3, 48, 40)
    assert "48×40" in subject.notes[0]


def test_without_a_transform_pictures_are_scaled_to_the_probe():
    subject = subject_of(small_cnn().eval(), probe=torch.rand(2, 3, 20, 24), normalise=PLAIN)
    pixels = subject.prepare(Image.new("L", (99, 50), 7))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, 20, 24)
    assert (pixels == 7).all()
    assert subject_of(small_cnn().eval(), probe=torch.rand(2, 3, 20, 24)).prepare is None


def test_grey_images_of_28_pixels():
    """Uniform noise is not needed: the size and the channel are found; RGB comes in as luminance."""
    model = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 24 * 24, 10)).eval()
    subject = subject_of(model, normalise=((0.1307,), (0.3081,)))
    assert subject.card["input"] == [1, 28, 28]
    grey = torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        expected = model((grey.float() / 255 - 0.1307) / 0.3081)
    for images in (grey, grey.expand(-1, 3, -1, -1)):
        torch.testing.assert_close(subject.features(images, ()).logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_of_another_type(dtype):
    """Features are float32, and near to those of the same model in float32."""
    torch.manual_seed(0)
    model = small_cnn().eval()
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    expected = subject_of(model, probe=images, normalise=PLAIN).features(images, ALL)
    subject = subject_of(model.to(dtype), probe=images, normalise=PLAIN)
    found = subject.features(images, ALL)
    assert subject.head.is_linear
    assert subject.head.weight.dtype == torch.float32
    assert subject.card["type"] == str(dtype).removeprefix("torch.")
    for name, parts in found.collected().items():
        assert all(part.dtype == torch.float32 for part in parts), name
    tolerance = 1e-5 if dtype == torch.float64 else 0.05
    torch.testing.assert_close(found.logits, expected.logits, rtol=tolerance, atol=tolerance)
    assert found.rounding == pytest.approx(max(torch.finfo(torch.float32).eps, torch.finfo(dtype).eps))


def test_wrapped_in_data_parallel():
    model = small_cnn().eval()
    images = torch.rand(2, 3, 32, 32)
    bare, wrapped = subject_of(model, probe=images), subject_of(nn.DataParallel(model), probe=images)
    assert wrapped.card["head"] == bare.card["head"]
    assert wrapped.fingerprint == bare.fingerprint
    assert torch.equal(wrapped.features(images, ()).logits, bare.features(images, ()).logits)
    assert "DataParallel was taken off" in wrapped.notes[0]


@pytest.mark.parametrize("how", ["function", "in place", "a part"])
def test_compiled(how):
    """The hooks are called, whatever is compiled: nothing is, here."""
    model = small_cnn().eval()
    images = torch.rand(2, 3, 32, 32)
    bare = subject_of(model, probe=images)
    expected = bare.features(images, ALL)
    if how == "function":
        model = torch.compile(model)
    elif how == "in place":
        model.compile()
    else:
        model[3] = torch.compile(model[3])
    found = subject_of(model, probe=images)
    assert found.card["head"] == bare.card["head"]
    assert torch.equal(found.features(images, ALL).penultimate, expected.penultimate)


def test_training_mode_is_left_and_said():
    model = nn.Sequential(small_cnn(), nn.Dropout(0.5)).train()
    subject = subject_of(model, probe=torch.rand(2, 3, 32, 32))
    assert not any(module.training for module in model.modules())
    assert "training mode" in subject.notes[0]
    assert subject.head.is_linear


def test_a_scripted_model_gives_logits():
    model, images = small_cnn().eval(), torch.rand(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        scripted = torch.jit.script(model)
    subject = subject_of(scripted, probe=images)
    assert "scripted" in subject.head.reason
    with torch.no_grad():
        torch.testing.assert_close(subject.features(images, ALL).logits, model(images))


def test_an_exported_model():
    model, images = small_cnn().eval(), torch.rand(2, 3, 32, 32)
    batch = {"input": {0: torch.export.Dim("batch")}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(model, (images,), dynamic_shapes=batch).module()
    with torch.no_grad():
        torch.testing.assert_close(
            subject_of(exported, probe=images).features(images, ()).logits, model(images)
        )


class Cosine(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.weight = small_cnn()[:-1], nn.Parameter(torch.randn(CLASSES, 12))

    def forward(self, x):
        return functional.linear(functional.normalize(self.body(x)), functional.normalize(self.weight))


class Ensemble(nn.Module):
    def __init__(self):
        super().__init__()
        self.members = nn.ModuleList([small_cnn(), small_cnn()])

    def forward(self, x):
        return sum(member(x) for member in self.members) / 2


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Cosine, "no linear layer with 5 outputs"),
        (Ensemble, "the logits are not the output of a linear layer"),
        (lambda: nn.Sequential(small_cnn(), nn.Tanh()), "the last module is Tanh"),
    ],
)
def test_without_a_linear_head_there_are_logits_and_a_reason(make, why):
    torch.manual_seed(0)
    images = torch.rand(4, 3, 32, 32)
    subject = subject_of(make().eval(), probe=images)
    assert not subject.head.is_linear
    assert why in subject.head.reason
    assert subject.missing[Signal.PENULTIMATE] == subject.missing[Signal.HEAD] == subject.head.reason
    assert "penultimate" not in subject.features(images, ALL).collected()


def test_nan_logits_say_which_images_and_how_many():
    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_cnn()

        def forward(self, x):
            bad = torch.where(x.mean(dim=(1, 2, 3)) > 0.9, float("nan"), 0.0)
            return self.inner(x) + bad[:, None]

    subject = subject_of(Fragile().eval(), probe=torch.rand(2, 3, 32, 32))
    images = torch.rand(5, 3, 32, 32)
    images[[1, 4]] = 1.0
    with pytest.raises(NotFinite, match="2 of 5 images are NaN or infinite: row 1, 4 of") as caught:
        subject.features(images, ())
    assert caught.value.rows == (1, 4)


def test_images_that_do_not_fit_are_an_error_that_says_their_shape():
    subject = subject_of(Tokens().eval(), probe=torch.rand(2, 3, 32, 32))
    with pytest.raises(DataError, match=r"cannot take float32 images of shape \(1, 32, 32\): RuntimeError"):
        subject.features(torch.rand(2, 1, 32, 32), ())


def test_a_model_that_takes_no_usual_size_says_so():
    model = nn.Sequential(nn.Flatten(), nn.Linear(7, CLASSES)).eval()
    with pytest.raises(DataError, match=r"takes images of none of the sizes 224×224.*give some as probe="):
        subject_of(model)


def test_uint8_pixels_want_a_normalisation():
    subject = subject_of(small_cnn().eval(), probe=torch.rand(2, 3, 32, 32))
    with pytest.raises(UsageError, match=r"give normalise=\(mean, std\)"):
        subject.features(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), ())


@pytest.mark.parametrize(
    ("normalise", "why"),
    [(((0.5,) * 4, (1.0,)), "4 means"), (((0.5,), (0.0,)), "above 0"), (((float("nan"),), (1.0,)), "finite")],
)
def test_a_normalisation_that_is_none(normalise, why):
    with pytest.raises(UsageError, match=why):
        subject_of(small_cnn().eval(), probe=torch.rand(2, 3, 32, 32), normalise=normalise)


def test_class_names_are_counted():
    with pytest.raises(UsageError, match="2 class names are given, and the model has 5 classes"):
        subject_of(small_cnn().eval(), probe=torch.rand(2, 3, 32, 32), class_names=["a", "b"])


def test_the_fingerprint_follows_the_weights():
    torch.manual_seed(0)
    model, images = small_cnn().eval(), torch.rand(2, 3, 32, 32)
    first = subject_of(model, probe=images).fingerprint
    assert subject_of(model, probe=images).fingerprint == first
    with torch.no_grad():
        model[7].bias[0] += 1e-6
    assert subject_of(model, probe=images).fingerprint != first


def test_noise_and_batch_dependence_are_warned_of():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_cnn()

        def forward(self, x):
            return functional.dropout(self.inner(x), 0.5, training=True)

    assert any(
        "same logits twice" in n for n in subject_of(Noisy().eval(), probe=torch.rand(4, 3, 32, 32)).notes
    )
    norm = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), small_cnn()).eval()
    assert any("beside it in a batch" in n for n in subject_of(norm, probe=torch.rand(4, 3, 32, 32)).notes)


def test_a_model_without_gradients_says_why():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_cnn()

        def forward(self, x):
            return self.inner(x.detach())

    subject = subject_of(Detached().eval(), probe=torch.rand(2, 3, 32, 32))
    assert "do not depend differentiably on the images" in subject.differentiable
