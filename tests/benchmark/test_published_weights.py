"""Published weights of backbones, a track's own classifiers, and how a backbone is shown images."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional

from benchmark.backbones.create import create_network, scaling_matrix
from benchmark.errors import DataError, SpecError
from benchmark.jobs.job import Kind
from benchmark.plan.checks import check_timm_names
from benchmark.plan.make import Selection, make_plan
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec

EFFICIENTNET = "{architecture: test_efficientnet}"
SCRATCH = "  scratch: {source: scratch}"


@pytest.fixture
def edited(small):
    """Replace passages of the small leaderboard, and read it."""

    def edit(*pairs):
        text = small.read_text()
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        small.write_text(text)
        return load_spec(small)

    return edit


def weights_of(path, classes=3, seed=0, architecture="test_efficientnet"):
    torch.manual_seed(seed)
    model = timm.create_model(architecture, num_classes=classes)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return path


def made(spec, tmp_path):
    failed = []
    plan = make_plan(spec, Selection())
    run_plan(
        plan,
        cache=tmp_path / "cache",
        results=tmp_path / "results",
        workers=1,
        on_event=lambda event, job, message: failed.append(message) if event == "failed" else None,
    )
    records = {(f.row, r.init, r.seed): r for f in read_all(tmp_path / "results") for r in f.records}
    return records, failed


# ---- a track's own classifiers


OWN = """    inits: [scratch]
    networks:
      lab:
        weights:
          tiny:
            0: {file: s0.safetensors, trained_on: [digits], licence: MIT}
            1: {file: s1.safetensors, trained_on: [digits], licence: MIT}
"""


@pytest.fixture
def published(small, edited):
    for seed in (0, 1):
        weights_of(small.parent / f"s{seed}.safetensors", seed=seed)
    return lambda *more: edited(("    inits: [scratch]\n", OWN), *more)


def test_a_tracks_own_classifiers_are_measured_as_they_are_beside_trained_ones(published, tmp_path):
    records, failed = made(published(), tmp_path)
    assert not failed
    lab = {seed: records["msp", "lab", seed] for seed in (0, 1)}
    assert {record.status for record in lab.values()} == {"measured"}
    assert lab[0].training.recipe is None
    assert records["msp", "scratch", 0].training.recipe is not None
    assert lab[0].checkpoint != lab[1].checkpoint
    assert lab[0].made_of["init"] == {"source": "networks", "trained_on": ["digits"], "licence": "MIT"}
    assert lab[0].numbers["near.auroc"] != records["msp", "scratch", 0].numbers["near.auroc"]


def test_each_seed_has_its_own_file(published, small):
    before = make_plan(published(), Selection())
    weights_of(small.parent / "s1.safetensors", seed=9)
    after = make_plan(load_spec(small), Selection())
    touched = {(one.cell.init, one.cell.seed) for one in after.cells if one.key not in before.jobs}
    assert touched == {("lab", 1)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("            1: {file", "            7: {file", "has none for backbone 'tiny' and seed 1"),
        ("          tiny:", "          huge:", "'huge' is no backbone of the track"),
        ("      lab:", "      scratch:", "the name 'scratch' is that of one of `inits`"),
        (", licence: MIT", "", "expected `trained_on` and `licence` beside it"),
        ("s0.safetensors,", "s0.safetensors, tag: x,", "got tag and file; expected one of them"),
    ],
)
def test_mistakes_in_them_are_told(published, old, new, message):
    with pytest.raises(SpecError, match=message):
        published((old, new))


def test_a_file_that_is_missing_is_told_with_its_place(published, small):
    spec = published()
    (small.parent / "s1.safetensors").unlink()
    with pytest.raises(
        DataError, match=r"tracks\.small\.networks\.lab\.weights\.tiny\.1\.file: .*s1\.safetensors"
    ):
        make_plan(spec, Selection())


def test_a_head_for_other_classes_fails_with_the_reason(published, small, tmp_path):
    weights_of(small.parent / "s1.safetensors", classes=4)
    _, failed = made(published(), tmp_path)
    assert any("parameters missing or misshapen" in message for message in failed)


def test_a_track_needs_some_networks(edited):
    with pytest.raises(SpecError, match=r"tracks\.small\.inits: got none, and no `networks`"):
        edited(("    inits: [scratch]\n", "    inits: []\n"))


# ---- weights of a backbone


IMAGENET = (
    ("inits: [scratch]", "inits: [scratch, imagenet]"),
    (SCRATCH, SCRATCH + "\n  imagenet: {source: hub}"),
)
REPOSITORY = "repository: lab/small, trained_on: [imagenet1k], licence: MIT"


def test_an_init_takes_the_weights_that_each_backbone_names(edited, tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    weights_of(tmp_path / "mirror" / "lab" / "small" / "model.safetensors", classes=0)
    weights = f"{{imagenet: {{{REPOSITORY}, mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2]}}}}"
    spec = edited(*IMAGENET, (EFFICIENTNET, f"{EFFICIENTNET[:-1]}, weights: {weights}}}"))
    plan = make_plan(spec, Selection())
    looks = {one.cell.init: plan.jobs[one.chain[Kind.TRAIN]].config for one in plan.cells}
    assert looks["imagenet"].mean == [0.5, 0.4, 0.3]
    assert looks["scratch"].mean is None
    records, failed = made(spec, tmp_path)
    assert not failed
    init = records["msp", "imagenet", 0].made_of["init"]
    assert (init["repository"], init["trained_on"]) == ("lab/small", ["imagenet1k"])


def test_weights_of_one_backbone_are_not_taken_for_another(edited):
    """Case U12: a tag of one architecture was accepted for every other."""
    with pytest.raises(
        SpecError,
        match=r"'imagenet' has weights for 'tiny' and none for 'other'; expected `backbones\.other\.weights",
    ):
        edited(
            *IMAGENET,
            (
                "  tiny: " + EFFICIENTNET,
                "  tiny: {architecture: test_efficientnet, weights: {imagenet: {tag: r160_in1k}}}"
                "\n  other: {architecture: test_resnet}",
            ),
            ("backbones: [tiny]", "backbones: [tiny, other]"),
        )


def test_weights_of_no_init_are_refused(edited):
    with pytest.raises(
        SpecError, match=r"backbones\.tiny\.weights\.imagenet: 'imagenet' is no init whose source is hub"
    ):
        edited((EFFICIENTNET, "{architecture: test_efficientnet, weights: {imagenet: {tag: r160_in1k}}}"))


def test_a_tag_that_timm_does_not_have_is_refused_when_planned(edited):
    spec = edited(
        *IMAGENET, (EFFICIENTNET, "{architecture: test_efficientnet, weights: {imagenet: {tag: in21k}}}")
    )
    with pytest.raises(
        SpecError, match=r"weights\.imagenet\.tag: timm has no weights 'in21k' of test_efficientnet"
    ):
        check_timm_names(spec, make_plan(spec, Selection()))


def test_weights_taken_as_they_are_must_see_the_images_that_they_are_made_for(edited):
    spec = edited(
        ("inits: [scratch]", "inits: [imagenet]"),
        (SCRATCH, SCRATCH + "\n  imagenet: {source: hub}"),
        (EFFICIENTNET, "{architecture: test_efficientnet, weights: {imagenet: {tag: r160_in1k}}}"),
    )
    track = spec.tracks["small"].model_copy(update={"training": None})
    spec = spec.model_copy(update={"tracks": {"small": track}})
    with pytest.raises(
        SpecError, match=r"made for images of 160 pixels, crop 0\.95, bicubic; backbone 'tiny' is shown 16"
    ):
        check_timm_names(spec, make_plan(spec, Selection()))
    fitting = {"enlarged": 160, "crop": 0.95, "interpolation": "bicubic"}
    tiny = spec.backbones["tiny"].model_copy(update=fitting)
    spec = spec.model_copy(update={"backbones": {"tiny": tiny}})
    check_timm_names(spec, make_plan(spec, Selection()))


# ---- how a backbone is shown images


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("enlarged", [48, 64, 20])
def test_a_network_scales_images_as_torch_does(interpolation, enlarged):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    matrix = scaling_matrix(32, enlarged, interpolation)
    expected = functional.interpolate(images, (enlarged, enlarged), mode=interpolation)
    torch.testing.assert_close(matrix @ images @ matrix.T, expected, rtol=1e-5, atol=1e-5)
    network = create_network("test_resnet", 3, 32, enlarged=enlarged, interpolation=interpolation)
    seen = (expected - network.mean) / network.std
    torch.testing.assert_close(network.normalised(images), seen, rtol=1e-4, atol=1e-4)


def test_options_of_a_model_and_a_normalisation_of_ones_own():
    torch.manual_seed(0)
    plain = create_network("mobilenetv2_035", 3, 32)
    torch.manual_seed(0)
    same = create_network(
        "mobilenetv2_035", 3, 32, options={"pad_type": "same"}, mean=[0.5] * 3, std=[0.25] * 3
    )
    assert not torch.equal(plain.mean, same.mean)
    assert same.std.flatten().tolist() == [0.25] * 3
    plain.mean, plain.std = same.mean, same.std
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert not torch.allclose(plain(images), same(images), atol=1e-4)


def test_options_that_are_none_are_refused(edited, small):
    spec = edited((EFFICIENTNET, "{architecture: test_efficientnet, options: {pat_type: same}}"))
    with pytest.raises(SpecError, match="unexpected keyword argument 'pat_type'"):
        check_timm_names(spec, make_plan(spec, Selection()))
    small.write_text(small.read_text().replace("pat_type: same", "num_classes: 7"))
    with pytest.raises(SpecError, match=r"options.*num_classes is set by the benchmark"):
        load_spec(small)


def test_backbones_of_a_track_may_be_shown_other_images(edited, tmp_path):
    spec = edited(
        (
            "  tiny: " + EFFICIENTNET,
            "  tiny: {architecture: test_efficientnet}\n"
            "  large: {architecture: test_efficientnet, image_size: 24}",
        ),
        ("backbones: [tiny]", "backbones: [tiny, large]"),
    )
    plan = make_plan(spec, Selection())
    sizes = {one.cell.backbone: plan.jobs[one.chain[Kind.TRAIN]].config.image_size for one in plan.cells}
    assert sizes == {"tiny": 16, "large": 24}
    alone = make_plan(spec, Selection(backbones=("tiny",)))
    assert all(job.config.image_size == 16 for job in alone.jobs.values() if job.kind == Kind.DATA)
    _, failed = made(spec, tmp_path)
    assert not failed
    of = {(f.row, r.backbone, r.seed): r for f in read_all(tmp_path / "results") for r in f.records}
    assert of["msp", "large", 0].made_of["image_size"] == 24
    assert of["msp", "tiny", 0].made_of["image_size"] == 16
