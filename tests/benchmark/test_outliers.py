"""The outliers of a training: how the images are made, and what objectives that take some must be given."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmark.errors import SpecError, UsageError
from benchmark.jobs.id_data import outlier_images
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.records.record import PLANE
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Artifact
from benchmark.studies.plane.settings import ARMS

LEADERBOARD = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 16
    id: {dataset: digits, classes: [0, 1, 2]}
    split: {train_per_class: 4, val_per_class: 4}
    near:
      threes: {dataset: digits, classes: [3]}
    far:
      noise: {dataset: uniform_noise, n: 12}
    outliers:
      strokes: {dataset: strokes, n: 6}
      blends: {dataset: dead_leaves, n: 5, blend: 0.25}
    training: {epochs: 4, batch_size: 6, lr: 0.003, weight_decay: 0.01}
    finetuning: {epochs: 2, batch_size: 3, lr: 0.0001, weight_decay: 0.02}
    backbones: [tiny, other]
    inits: [scratch, fractals]
    seeds: [0, 1]
    entries: [msp, exposed]
    full: {entries: [tuned], backbones: [other]}
backbones:
  tiny: {architecture: test_efficientnet}
  other: {architecture: test_resnet}
inits:
  scratch: {source: scratch}
  fractals:
    source: fractaldb
    preset: fractaldb_tiny
    training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}
objectives:
  shown: {objective: confidence_loss, outliers: [blends, strokes]}
  tuning: {objective: energy_finetune, outliers: [strokes]}
entries:
  msp: {detector: msp}
  exposed: {detector: msp, objective: shown}
  tuned: {detector: energy, objective: tuning}
boundary: {seeds: [0, 3], steps: 10}
"""
SHOWN = "  shown: {objective: confidence_loss, outliers: [blends, strokes]}\n"


@pytest.fixture
def plan(tmp_path):
    """Plan the leaderboard with passages replaced."""

    def make(*replaced, **selection):
        text = LEADERBOARD
        for old, new in replaced:
            assert text.count(old) == 1, f"the leaderboard has {text.count(old)} times {old!r}"
            text = text.replace(old, new)
        path = tmp_path / "leaderboard.yaml"
        path.write_text(text)
        return make_plan(load_spec(path), Selection(**selection))

    return make


# --- images


VAL = torch.randint(256, (7, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
SETS = {
    name: torch.randint(256, (n, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    for name, n in (("leaves", 4), ("strokes", 9), ("glyphs", 50))
}


@pytest.fixture
def inputs(tmp_path):
    """The sets as artifacts, as a training job is given them."""
    found = {}
    for name, images in SETS.items():
        folder = tmp_path / name
        folder.mkdir()
        save_file({"images": images, "labels": torch.full((len(images),), -1)}, folder / "images.safetensors")
        found[name] = Artifact(name, folder, {"files": {"images.safetensors": {}}})
    return found


def test_without_sets_there_are_none(inputs):
    assert outlier_images({}, inputs, VAL, 0) is None


def test_sets_are_joined_in_the_order_of_the_objective(inputs):
    for order in (["leaves", "strokes"], ["strokes", "leaves"], ["glyphs"]):
        found = outlier_images(dict.fromkeys(order), inputs, VAL, 0)
        assert found.dtype == torch.uint8
        assert torch.equal(found, torch.cat([SETS[name] for name in order]))


def mixed(share, image):
    """The blend of an image with each of VAL, in single precision, ties to even."""
    inside, image = VAL.numpy().astype(np.float32), image.numpy().astype(np.float32)
    return np.rint(np.float32(1 - share) * inside + np.float32(share) * image).astype(np.uint8)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_blend_is_the_rounded_mix_with_a_validation_image(inputs, share):
    found = outlier_images({"glyphs": share}, inputs, VAL, 3)
    assert found.dtype == torch.uint8
    assert found.shape == SETS["glyphs"].shape
    drawn = []
    for row, image in zip(found.numpy(), SETS["glyphs"], strict=True):
        equal = [i for i, candidate in enumerate(mixed(share, image)) if np.array_equal(candidate, row)]
        assert len(equal) == 1
        drawn += equal
        exact = (1 - share) * VAL[equal[0]].numpy() + share * image.numpy()
        assert np.abs(row - exact).max() <= 0.5 + 1e-4
    assert set(drawn) == set(range(len(VAL)))  # 50 draws of 7


def test_a_blend_beside_a_plain_set_leaves_it_alone(inputs):
    found = outlier_images({"strokes": None, "leaves": 0.5}, inputs, VAL, 3)
    assert torch.equal(found[:9], SETS["strokes"])
    alone = outlier_images({"leaves": 0.5}, inputs, VAL, 3)
    assert torch.equal(found[9:], alone)
    assert not torch.equal(alone, SETS["leaves"])


def test_the_seed_alone_decides(inputs):
    blend = {"glyphs": 0.5, "leaves": 0.25}
    first = outlier_images(blend, inputs, VAL, 3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(outlier_images(blend, inputs, VAL, 3), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(outlier_images(blend, inputs, VAL, 4), first)


# --- the plan


@pytest.mark.parametrize(
    ("old", "new", "place", "key", "message"),
    [
        (
            "msp, objective: shown}", "msp, objective: outlier_exposure}", "  exposed: {",
            "entries.exposed.objective",
            "the objective 'outlier_exposure' needs outliers; expected `objectives.outlier_exposure` with "
            "`outliers`, of those of the track: strokes, blends",
        ),
        (
            SHOWN, "  shown: {objective: confidence_loss}\n", "  shown: {", "objectives.shown",
            "the objective 'confidence_loss' needs outliers; expected `objectives.shown` with `outliers`, "
            "of those of the track: strokes, blends",
        ),
        (
            SHOWN, "  shown: {objective: mtc}\n", "  shown: {", "objectives.shown",
            "the objective 'mtc' needs unlabelled; expected ",
        ),
        (
            "[blends, strokes]", "[blends, stroke]", "  shown: {", "objectives.shown.outliers.1",
            "'stroke' is no outlier set of track 'small'; did you mean 'strokes'?",
        ),
        (
            "[blends, strokes]", "[noise]", "  shown: {", "objectives.shown.outliers.0",
            "'noise' is no outlier set of track 'small'; there are: strokes, blends",
        ),
        (
            SHOWN, "  shown:\n    objective: logit_norm\n    outliers: [strokes]\n", "    outliers: [",
            "objectives.shown.outliers", "the objective 'logit_norm' takes none",
        ),
        (
            "confidence_loss", "confidence_los", "  shown: {", "objectives.shown.objective",
            "no objective 'confidence_los'; did you mean 'confidence_loss'?",
        ),
        (
            "msp, objective: shown}", "msp, objective: shwon}", "  exposed: {", "entries.exposed.objective",
            "no objective 'shwon'; ",
        ),
        (
            SHOWN,
            "  shown:\n    objective: confidence_loss\n    outliers: [strokes]\n"
            "    hyperparameters: {betta: 1.0}\n",
            "    hyperparameters: {betta", "objectives.shown.hyperparameters",
            "confidence_loss: no hyper-parameter 'betta'; ",
        ),
        (
            SHOWN,
            "  shown: {objective: confidence_loss, outliers: [strokes], hyperparameters: {beta: -1.0}}\n",
            "  shown: {", "objectives.shown.hyperparameters", "confidence_loss: beta: ",
        ),
    ],
    ids=[
        "needs outliers, named by an entry", "needs outliers", "needs unlabelled", "unknown set",
        "a test set", "takes none", "unknown objective", "unknown, named by an entry",
        "unknown hyper-parameter", "refused hyper-parameter",
    ],
)  # fmt: skip
def test_what_an_objective_is_given_must_fit(plan, tmp_path, old, new, place, key, message):
    path = tmp_path / "leaderboard.yaml"
    with pytest.raises(SpecError) as caught:
        plan((old, new))
    lines = [i for i, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(place)]
    assert len(lines) == 1
    assert str(caught.value).startswith(f"{path}:{lines[0]}: {key}: {message}")


def test_an_objective_does_not_start_from_itself_under_another_name(plan):
    own = "  cross_entropy: {objective: energy_finetune, outliers: [strokes]}\n"
    with pytest.raises(
        SpecError, match=r"leaderboard\.yaml:\d+: objectives\.cross_entropy: 'energy_finetune'"
    ):
        plan((SHOWN, SHOWN + own))


def networks(made):
    """The training job of each network, by entry and network."""
    return {
        (c.cell.entry, c.cell.backbone, c.cell.init, c.cell.seed): made.jobs[c.chain[Kind.TRAIN]]
        for c in made.cells
    }


def test_the_sets_of_an_objective_are_inputs_of_its_trainings_alone(plan):
    made = plan()
    for (entry, *_), job in networks(made).items():
        named = {item: made.jobs[key] for item, key in job.inputs.outliers.items()}
        if entry == "msp":
            assert named == {}
            assert job.config.blend == {}
        else:
            # the order of the objective, not of the track
            assert list(job.config.blend.items()) == [("blends", 0.25), ("strokes", None)]
            assert {role: made.config.dataset for role, made in named.items()} == {
                "blends": "dead_leaves",
                "strokes": "strokes",
            }
    for cell in made.cells:
        assert set(cell.data) == {"id", "threes", "noise"} | (
            {"strokes", "blends"} if cell.cell.entry == "exposed" else set()
        )


def test_fine_tuning_starts_from_the_network_that_a_plain_entry_uses(plan):
    made = plan(full=True)
    found = networks(made)
    cells = [network[1:] for network in found if network[0] == "tuned"]
    assert len(cells) == 2 * 2
    for cell in cells:
        job, plain = found["tuned", *cell], found["msp", *cell]
        assert job.inputs.start == plain.key
        assert plain.inputs.start is None
        assert job.inputs.pretrained is None
        assert (plain.inputs.pretrained is not None) == (cell[1] == "fractals")
        assert job.config.training == plain.config.training | {
            "epochs": 2,
            "batch_size": 3,
            "lr": 0.0001,
            "weight_decay": 0.02,
        }
        assert plain.config.training["epochs"] == 4
        assert job.config.objective == "energy_finetune"
        assert plain.config.objective == "cross_entropy"
    chains = {c.cell[1:]: c.chain for c in made.cells}
    for (backbone, init, seed, entry), chain in chains.items():
        assert chain.get(Kind.PRETRAIN) == chains[backbone, init, seed, "msp"].get(Kind.PRETRAIN)
        assert (Kind.PRETRAIN in chain) == (init == "fractals"), entry


def test_the_start_is_planned_where_no_plain_entry_is_selected(plan):
    alone, whole = plan(entries=("tuned",)), plan(full=True)
    starts = {job.inputs.start for job in networks(alone).values()}
    assert len(starts) == 4
    assert starts <= alone.jobs.keys()
    assert {c.cell.entry for c in alone.cells} == {"tuned"}
    assert alone.jobs.keys() <= whole.jobs.keys()


def test_without_a_recipe_of_its_own_fine_tuning_takes_the_tracks(plan):
    line = "    finetuning: {epochs: 2, batch_size: 3, lr: 0.0001, weight_decay: 0.02}\n"
    found = networks(plan((line, ""), full=True))
    for (entry, *cell), job in found.items():
        if entry == "tuned":
            assert job.config.training == found["msp", *cell].config.training


def test_epochs_of_an_objective_override_the_recipe(plan):
    before = networks(plan(full=True))
    after = networks(
        plan(
            ("[blends, strokes]}", "[blends, strokes], epochs: 9}"),
            ("outliers: [strokes]}", "outliers: [strokes], epochs: 7}"),
            full=True,
        )
    )
    assert before.keys() == after.keys()
    epochs = {"exposed": 9, "tuned": 7}
    for network, job in before.items():
        if network[0] == "msp":
            assert after[network].key == job.key
        else:
            expected = job.config.training | {"epochs": epochs[network[0]]}
            assert after[network].config.training == expected


def where(made):
    return {(c.cell.entry, c.cell.backbone) for c in made.cells}


EVERYWHERE = {(entry, backbone) for entry in ("msp", "exposed") for backbone in ("tiny", "other")}


def test_entries_of_a_full_run_are_planned_for_it_or_by_name_on_their_backbones(plan):
    assert where(plan()) == EVERYWHERE
    assert where(plan(tracks=("small",))) == EVERYWHERE
    assert where(plan(full=True)) == EVERYWHERE | {("tuned", "other")}
    assert where(plan(full=True, backbones=("tiny",))) == {("msp", "tiny"), ("exposed", "tiny")}
    assert where(plan(entries=("tuned",))) == {("tuned", "other")}
    assert where(plan(entries=("tuned", "msp"), backbones=("other",))) == {
        ("tuned", "other"),
        ("msp", "other"),
    }
    with pytest.raises(UsageError, match="nothing is selected"):
        plan(entries=("tuned",), backbones=("tiny",))
    assert where(plan((", backbones: [other]}", "}"), entries=("tuned",))) == {
        ("tuned", "other"),
        ("tuned", "tiny"),
    }


def test_a_full_run_alone_draws_the_boundary(plan):
    made = plan(full=True)
    jobs = [made.jobs[key] for key in (arm.key for arm in made.studies)]
    assert [(job.config.arm, job.config.seed, job.config.steps) for job in jobs] == [
        (arm, seed, 10) for seed in (0, 3) for arm in ARMS
    ]
    assert {job.kind for job in jobs} == {Kind.BOUNDARY}
    for selection in (
        {},
        {"full": True, "tracks": ("small",)},
        {"full": True, "seeds": (0,)},
        {"full": True, "entries": ("tuned",)},
    ):
        made = plan(**selection)
        assert PLANE not in {planned.place.study for planned in made.studies}
        assert Kind.BOUNDARY not in {job.kind for job in made.jobs.values()}
    assert plan(("boundary: {seeds: [0, 3], steps: 10}\n", ""), full=True).studies == ()
