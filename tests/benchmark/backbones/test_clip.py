"""Models of images and text as classifiers, held to open_clip's own logits; tiny, with random weights."""

import json
import re
import sys
import tomllib

import pytest
import torch
from places import ROOT
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from benchmark.backbones.clip import TEMPLATES, ZeroShot, load_clip, text_matrix
from benchmark.backbones.create import scaling_matrix
from benchmark.backbones.device import move
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import Network
from benchmark.conformance.pretended import pretended
from benchmark.errors import DataError, UsageError
from methods.base import Features
from methods.errors import NotApplicable
from methods.registry import detector
from methods.statistics import pooled

SIDE, WIDTH, CONTEXT = 32, 24, 16
CLASSES = ["cat", "dog", "traffic light", "crane (bird)"]
SEVERAL = ["a photo of a {}.", "a drawing of the {}, and no {}"]
TEXT = {"context_length": CONTEXT, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
TOWERS = {
    "transformer": {"image_size": SIDE, "layers": 8, "width": 32, "head_width": 16, "patch_size": 8},
    "resnet": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "timm": {
        "image_size": SIDE,
        "timm_model_name": "test_resnet",
        "timm_pool": "avg",
        "timm_proj": "linear",
    },
}
HINT = r"pip install 'oodbench\[clip\]'"

try:
    import open_clip
except ImportError:
    open_clip = None
with_open_clip = pytest.mark.skipif(
    open_clip is None, reason="open_clip is not installed; pip install 'oodbench[clip]'"
)


def config_of(tower):
    return {"embed_dim": WIDTH, "vision_cfg": dict(TOWERS[tower]), "text_cfg": dict(TEXT)}


def model_of(tower="transformer", seed=0):
    torch.manual_seed(seed)
    return open_clip.model.CLIP(**config_of(tower)).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return open_clip.SimpleTokenizer(context_length=CONTEXT)


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=TOWERS)
def model(request):
    return model_of(request.param)


@pytest.fixture
def network(model, tokenizer):
    return Network(ZeroShot(model, tokenizer, CLASSES))


def of_open_clip(model, tokenizer, classes=CLASSES, templates=TEMPLATES):
    """(K, D): the library's own."""
    build = open_clip.build_zero_shot_classifier
    return build(model, tokenizer, classes, list(templates), num_classes_per_batch=None).T


@with_open_clip
@torch.inference_mode()
def test_the_logits_are_those_of_open_clip(model, tokenizer, network, images):
    shown = network.normalised(images)
    texts = tokenizer([TEMPLATES[0].replace("{}", name) for name in CLASSES])
    expected, _ = model.get_logits(shown, texts)
    assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


@with_open_clip
@pytest.mark.parametrize("templates", [TEMPLATES, SEVERAL], ids=["one", "several"])
def test_the_texts_are_those_of_open_clip(tokenizer, templates):
    model = model_of()
    if templates is SEVERAL:
        filled = [lambda name, form=form: form.replace("{}", name) for form in templates]
    else:
        filled = templates
    found = text_matrix(model, tokenizer, CLASSES, templates)
    assert_close(found, of_open_clip(model, tokenizer, CLASSES, filled), rtol=1e-5, atol=1e-6)
    assert_close(found.norm(dim=1), torch.ones(len(CLASSES)))


@with_open_clip
def test_many_classes_are_embedded_some_at_a_time(tokenizer):
    model, names = model_of(), [f"thing {i}" for i in range(300)]
    forms = ["a photo of a {}.", "a {}"]
    expected = of_open_clip(model, tokenizer, names, forms)
    assert_close(text_matrix(model, tokenizer, names, forms), expected, rtol=1e-5, atol=1e-6)


@with_open_clip
def test_a_name_in_braces_is_a_name(tokenizer):
    model = model_of()
    one, other = text_matrix(model, tokenizer, ["{0}", "dog"], ["a {} here"]), tokenizer(["a {0} here"])
    assert_close(one[0], functional.normalize(model.encode_text(other), dim=1)[0], rtol=1e-5, atol=1e-6)


@with_open_clip
@torch.inference_mode()
def test_a_bias_of_the_logits_is_left_out(tokenizer, images):
    """As SigLIP has it: a tower of text apart, and a scale with a dimension."""
    options = {"init_logit_scale": 2.3, "nonscalar_logit_scale": True, "init_logit_bias": -10.0}
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(**config_of("transformer"), **options).eval()
    network = Network(ZeroShot(model, tokenizer, CLASSES))
    texts = tokenizer([TEMPLATES[0].replace("{}", name) for name in CLASSES])
    expected, _ = model.get_logits(network.normalised(images), texts)
    assert_close(network(images), expected + 10.0, rtol=1e-4, atol=1e-5)


@with_open_clip
@torch.inference_mode()
def test_a_tower_that_gives_tokens_too_is_taken_without_them(images):
    text = TEXT | {"width": WIDTH, "output_tokens": True}
    pooling = {"attentional_pool": True, "attn_pooler_queries": 8, "attn_pooler_heads": 2}
    tower = TOWERS["transformer"] | pooling | {"output_tokens": True}
    torch.manual_seed(0)
    model = open_clip.CoCa(WIDTH, text, text | {"embed_cls": True}, tower).eval()
    shorter = open_clip.SimpleTokenizer(context_length=CONTEXT - 1)
    found = Tap(Network(ZeroShot(model, shorter, CLASSES)), images)
    expected = model.encode_image(found.network.normalised(images), normalize=True)
    assert_close(found(images).penultimate, expected, rtol=1e-4, atol=1e-5)


@with_open_clip
@torch.inference_mode()
def test_the_head_is_linear_in_embeddings_of_length_one(model, network, images):
    head = network.read_head(images)
    assert head.is_linear
    assert_close(head.weight.norm(dim=1), model.logit_scale.exp().expand(len(CLASSES)))
    assert head.bias.tolist() == [0.0] * len(CLASSES)
    found = Tap(network, images)(images)
    embedded = model.encode_image(network.normalised(images), normalize=True)
    assert_close(found.penultimate, embedded, rtol=1e-4, atol=1e-5)
    assert_close(found.logits, found.penultimate @ head.weight.T, rtol=1e-5, atol=1e-5)
    assert network.dimension == WIDTH


@with_open_clip
@pytest.mark.parametrize(
    ("tower", "stages"), [("transformer", [1, 3, 5, 7]), ("resnet", [1, 2, 3, 4]), ("timm", [1, 2, 3, 4])]
)
@torch.inference_mode()
def test_the_stages_are_blocks_of_the_image_tower(tokenizer, images, tower, stages):
    model = model_of(tower)
    tap = Tap(Network(ZeroShot(model, tokenizer, CLASSES)), images)
    assert tap.stages == stages
    told = model.visual.forward_intermediates(tap.network.normalised(images), indices=stages)
    for found, expected in zip(tap(images).stages, told["image_intermediates"], strict=True):
        assert_close(found, pooled(expected), rtol=1e-4, atol=1e-5)


@with_open_clip
def test_the_embedding_is_no_average_of_a_map(network, images):
    tap = Tap(network, images)
    assert tap.why_no_rank_one
    with pytest.raises(NotApplicable, match="not collected"):
        tap(images, "rank_one").rank_one  # noqa: B018


@with_open_clip
def test_the_text_tower_is_not_kept(model, network):
    own = {f"visual.{name}" for name in model.visual.state_dict()}
    assert network.weights().keys() == own | {"head.weight"}
    assert not any(module.training for module in network.model.modules())


@with_open_clip
def test_a_model_in_training_mode_is_read_in_eval_mode(tokenizer):
    model = model_of()
    expected = model.logit_scale.exp() * of_open_clip(model, tokenizer)
    model.ln_final = nn.Sequential(model.ln_final, nn.Dropout(0.5))
    model.train()
    assert_close(ZeroShot(model, tokenizer, CLASSES).head.weight, expected)


@with_open_clip
def test_the_normalisation_is_that_of_clip_where_a_model_tells_none(network):
    assert network.mean.flatten().tolist() == pytest.approx(open_clip.OPENAI_DATASET_MEAN)
    assert network.std.flatten().tolist() == pytest.approx(open_clip.OPENAI_DATASET_STD)


@with_open_clip
def test_images_of_another_size_are_refused_or_scaled(tokenizer, images):
    model = ZeroShot(model_of(), tokenizer, CLASSES)
    small = images[:, :, :16, :16]
    with pytest.raises(DataError, match=r"^images: expected shape \(N, 3, 32, 32\), got \(6, 3, 16, 16\)"):
        Network(model)(small)
    scaled = functional.interpolate(small, SIDE, mode="bicubic", align_corners=False)
    found = Network(model, scaling=scaling_matrix(16, SIDE, "bicubic"))(small)
    assert_close(found, Network(model)(scaled), rtol=1e-3, atol=1e-3)


@with_open_clip
@torch.inference_mode()
def test_mcm_is_of_the_cosines_and_msp_of_the_logits(tokenizer, images):
    model = model_of()
    tap = Tap(Network(ZeroShot(model, tokenizer, CLASSES)), images)
    found = tap(images)
    cosines = functional.normalize(model.encode_image(tap.network.normalised(images)), dim=1)
    cosines = (cosines @ of_open_clip(model, tokenizer).T).double()
    scale = model.logit_scale.exp().double()
    scores = {name: detector(name).fit(found, head=tap.head).score(found) for name in ("mcm", "msp")}
    assert_close(scores["mcm"], torch.softmax(cosines, dim=1).amax(dim=1), rtol=1e-5, atol=0)
    assert_close(scores["msp"], torch.softmax(scale * cosines, dim=1).amax(dim=1), rtol=1e-4, atol=0)


@with_open_clip
@pytest.mark.parametrize(
    "name", ["max_logit", "energy", "gen", "fdbd", "knn", "mahalanobis", "nnguide", "vim", "react", "gram"]
)
@torch.inference_mode()
def test_detectors_take_its_features(tokenizer, images, name):
    tap = Tap(Network(ZeroShot(model_of(), tokenizer, CLASSES)), images)
    drawn = torch.Generator().manual_seed(2)
    labels = torch.arange(80) % len(CLASSES)
    train = tap(torch.rand(80, 3, SIDE, SIDE, generator=drawn), "gram").including(labels=labels)
    hyperparameters = {"k": 5} if name in ("knn", "nnguide") else {}
    scorer = detector(name, **hyperparameters).fit(train, train, tap.head, drawn)
    assert torch.isfinite(scorer.score(tap(images, "gram"))).all()


@with_open_clip
def test_a_detector_steps_its_images(tokenizer, images):
    tap = Tap(Network(ZeroShot(model_of(), tokenizer, CLASSES)), images)
    odin = detector("odin", temperature=1.0, epsilon=1e-4)
    stepped = odin.score_images(tap, images)
    plain = detector("msp").score(Features(tap(images).logits.detach()))
    assert (stepped > plain).all()  # the step is towards a surer prediction


@with_open_clip
def test_on_a_device_the_features_are_those_of_the_cpu(tokenizer, images):
    expected = Tap(Network(ZeroShot(model_of(), tokenizer, CLASSES)), images)(images)
    with pretended() as device:
        model = model_of()
        move(model, device)
        network = Network(ZeroShot(model, tokenizer, CLASSES))
        move(network, device)  # the normalisation too
        found = Tap(network, images)(images)
    for name, parts in expected.collected().items():
        assert_close(found.collected()[name], parts, rtol=1e-4, atol=1e-4)


@with_open_clip
@pytest.mark.parametrize(
    ("classes", "templates", "message"),
    [
        ("cat", TEMPLATES, "classes: expected a list of texts, got the one text 'cat'"),
        ([], TEMPLATES, "classes: expected at least one, got none"),
        (["cat", " "], TEMPLATES, r"classes\[1\]: expected a text, got ' '"),
        (["cat", 3], TEMPLATES, r"classes\[1\]: expected a text, got 3"),
        (["cat", "dog", "cat"], TEMPLATES, r"'cat' \(class 0\) and 'cat' \(class 2\) are one text"),
        (["Crane", "crane"], TEMPLATES, r"'Crane' \(class 0\) and 'crane' \(class 1\) are one text"),
        ([f"{'very ' * CONTEXT}{name}" for name in CLASSES], TEMPLATES, "are one text"),  # cut off
        (CLASSES, [], "templates: expected at least one, got none"),
        (CLASSES, "a photo of a {}.", "templates: expected a list of texts"),
        (CLASSES, ["a {}", "a photo"], r"templates: 'a photo' has no \{\} for the name of a class"),
    ],
)
def test_names_and_templates_that_make_no_classes_are_refused(tokenizer, classes, templates, message):
    with pytest.raises(UsageError, match=message):
        ZeroShot(model_of(), tokenizer, classes, templates)


@with_open_clip
def test_what_is_no_model_of_images_and_text_is_refused(tokenizer):
    with pytest.raises(DataError, match=r"^model: expected one of open_clip, got Linear, without 'visual'"):
        ZeroShot(nn.Linear(2, 2), tokenizer, CLASSES)
    with pytest.raises(DataError, match=r"^model: expected parameters in torch.float32, got torch.float16"):
        ZeroShot(model_of().half(), tokenizer, CLASSES)


@pytest.fixture
def folder(tmp_path):
    """A model as the Hub has it."""
    home = tmp_path / "tiny"
    home.mkdir()
    looks = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    told = {"model_cfg": config_of("transformer"), "preprocess_cfg": looks}
    (home / "open_clip_config.json").write_text(json.dumps(told))
    save_file(model_of(seed=5).state_dict(), home / "open_clip_model.safetensors")
    return home


@with_open_clip
@torch.inference_mode()
def test_a_folder_tells_architecture_weights_and_normalisation(folder, tokenizer, images):
    network = Network(ZeroShot(*load_clip(folder), CLASSES))
    assert network.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert network.std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    same = Network(ZeroShot(model_of(seed=5), tokenizer, CLASSES), [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert_close(network(images), same(images))


@with_open_clip
@torch.inference_mode()
def test_an_architecture_is_given_its_weights(folder, tokenizer, images, monkeypatch):
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", config_of("transformer"))
    monkeypatch.setattr(open_clip.factory, "list_models", lambda: ["tiny"])
    monkeypatch.setattr(open_clip, "list_models", lambda: ["tiny"])
    network = Network(ZeroShot(*load_clip("tiny", folder / "open_clip_model.safetensors"), CLASSES))
    assert_close(network(images), Network(ZeroShot(model_of(seed=5), tokenizer, CLASSES))(images))
    other = folder / "other.safetensors"
    save_file(model_of("resnet").state_dict(), other)
    with pytest.raises(DataError, match=f"^tiny with the weights {re.escape(str(other))}: "):
        load_clip("tiny", other)


@with_open_clip
@pytest.mark.parametrize("part", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_folder_without_a_part_says_which(folder, part):
    (folder / part).rename(folder / "open_clip_pytorch_model.bin")  # which is never read
    with pytest.raises(DataError, match=f"tiny: there is no {part} in this folder"):
        load_clip(folder)


@with_open_clip
def test_a_folder_whose_config_is_damaged_is_named(folder):
    (folder / "open_clip_config.json").write_text("{")
    with pytest.raises(DataError, match=f"^{re.escape(str(folder))}: "):
        load_clip(folder)


@with_open_clip
def test_files_that_are_not_what_they_should_be_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match=r"^weights: .*tiny is a folder .*; leave out more.safetensors"):
        load_clip(folder, "more.safetensors")
    with pytest.raises(UsageError, match=r"^weights: ViT-B-32 is an architecture; give a .safetensors file"):
        load_clip("ViT-B-32")
    with pytest.raises(DataError, match=r"old.pt: expected a .safetensors file; no other format is read"):
        load_clip("ViT-B-32", tmp_path / "old.pt")
    with pytest.raises(DataError, match=r"none.safetensors: there is no such file"):
        load_clip("ViT-B-32", tmp_path / "none.safetensors")


@with_open_clip
def test_an_unknown_architecture_is_answered_with_the_nearest():
    message = "'ViT-B-23' is neither a folder nor an architecture of open_clip; did you mean 'ViT-B-"
    with pytest.raises(UsageError, match=message) as caught:
        load_clip("ViT-B-23", "weights.safetensors")
    assert len(str(caught.value)) < 250


@with_open_clip
@pytest.mark.parametrize(
    ("architecture", "key"),
    [("roberta-ViT-B-32", "hf_model_name"), ("ViT-B-16-SigLIP", "hf_tokenizer_name")],
)
def test_what_open_clip_asks_the_hub_for_is_refused(folder, architecture, key):
    with pytest.raises(DataError, match=f"^{architecture} with the weights .*: its text_cfg has {key} = "):
        load_clip(architecture, folder / "open_clip_model.safetensors")


def test_without_open_clip_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match=HINT):
        load_clip("ViT-B-32", "weights.safetensors")


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason=f"no checkout: {ROOT}")
def test_the_extra_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [need.partition(">")[0] for need in extras["clip"]] == ["open_clip_torch"]


PAGE = ROOT / "docs" / "zero_shot.md"


@with_open_clip
@pytest.mark.skipif(not PAGE.is_file(), reason=f"no checkout: {PAGE} is not there")
def test_the_pages_example_runs_as_it_stands(folder, images, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {"folder": folder, "id_images": images, "ood_images": images.flip(1)})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in lines] == ["mcm", "energy"]
    assert all(0 <= float(auroc) <= 1 for _, auroc in lines)
