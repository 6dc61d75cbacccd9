"""The plan: which cells and jobs there are, and what makes two of them the same."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
import torch
from places import ROOT

from benchmark.backbones import device
from benchmark.errors import SpecError, UsageError
from benchmark.jobs.job import Kind, Lane, as_json
from benchmark.plan.checks import check_timm_names
from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec

SHIPPED = ROOT / "leaderboard.yaml"
RECIPE = "training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}"
FRACTALS = f"  fractals: {{source: fractaldb, preset: fractaldb_tiny, {RECIPE}}}"
HUB = "  hub: {source: hub}"
EFFICIENTNET = "{architecture: test_efficientnet}"


@pytest.fixture
def edited(small):
    """Replace passages of the small leaderboard."""

    def edit(*pairs):
        text = small.read_text()
        for old, new in pairs:
            assert old in text, f"the small leaderboard has no {old!r} any more"
            text = text.replace(old, new)
        small.write_text(text)
        return small

    return edit


@pytest.fixture
def pretrained(edited):
    """The small leaderboard with an entry more and three inits."""
    return edited(
        ("inits: [scratch]", "inits: [scratch, fractals, hub]"),
        ("  scratch: {source: scratch}", f"  scratch: {{source: scratch}}\n{FRACTALS}\n{HUB}"),
    )


def plan_of(path, **selection):
    return make_plan(load_spec(path), Selection(**selection))


def by_kind(plan):
    return dict(Counter(job.kind for job in plan.jobs.values()))


@pytest.mark.skipif(not SHIPPED.is_file(), reason=f"no checkout: {SHIPPED} is not there")
def test_the_jobs_of_the_shipped_leaderboard():
    """2 backbones × 2 inits × 8 seeds are 32 networks; 71 detectors on each, and 2 × 2 × 2 ensembles of 3.

    The studies take one backbone and four seeds, so 8 networks, and train further ones: on 5 strengths of
    noise above 0, and on a long tail.
    """
    plan = plan_of(SHIPPED, tracks=("digits",))
    assert len(plan.cells) == 32 * 71 + 8
    assert len(plan.studies) == 8 * (1 + 1 + 6 + 1)
    assert by_kind(plan) == {
        Kind.DATA: 8,  # ID, one near, four far and two validation sets
        Kind.SHIFT: 2,  # those of the cells, and those of the study of corruptions
        Kind.TRAINING_SET: 4 * (6 + 1),
        Kind.PRETRAIN: 2,  # fractaldb for each backbone
        Kind.TRAIN: 32 + 8 * (5 + 1),
        Kind.EXTRACT: (
            32 * (9 + 7)  # ID, shifted, near, far, validation; Gram statistics of all but validation
            + 8 * (1 + 5 + 6)  # corrupted images; ID of each noise; ID, near and far of the long tail
        ),
        Kind.CLASSIFY: 32,
        Kind.SCORE: 32 * 60 + 8,
        Kind.TUNE: 32 * 11,
        Kind.MEASURE: 32 * 71 + 8,
        Kind.ATTACK: 8,
        Kind.CORRUPT: 8,
        Kind.ASSESS: 8 * (6 + 1),
    }


def test_the_jobs_of_the_small_leaderboard(small):
    plan = plan_of(small)
    assert [str(planned.cell) for planned in plan.cells] == [
        "small tiny scratch seed 0 msp",
        "small tiny scratch seed 0 knn",
        "small tiny scratch seed 1 msp",
        "small tiny scratch seed 1 knn",
    ]
    assert by_kind(plan) == {
        Kind.DATA: 3, Kind.SHIFT: 1, Kind.TRAIN: 2, Kind.EXTRACT: 8, Kind.CLASSIFY: 2, Kind.SCORE: 4,
        Kind.MEASURE: 4,
    }  # fmt: skip


def test_inputs_come_before_the_jobs_that_need_them(pretrained):
    seen = set()
    for key, job in plan_of(pretrained).jobs.items():
        assert key == job.key
        assert set(job.needs) <= seen
        seen.add(key)


def test_entries_share_a_network(pretrained):
    plan = plan_of(pretrained)
    shared = {Kind.TRAIN, Kind.EXTRACT, Kind.CLASSIFY}
    networks = {}
    for planned in plan.cells:
        chain = tuple(planned.chain[kind] for kind in sorted(shared))
        networks.setdefault(planned.cell[:4], set()).add(chain)
    assert len(networks) == 3 * 2
    assert {len(chains) for chains in networks.values()} == {1}
    assert len(set.union(*networks.values())) == len(networks)


def test_an_init_is_pre_trained_once_for_a_backbone(edited):
    path = edited(
        ("backbones: [tiny]", "backbones: [tiny, other]"),
        ("  tiny: {arch", "  other: {architecture: test_resnet}\n  tiny: {arch"),
        ("inits: [scratch]", "inits: [scratch, fractals, hub]"),
        ("  scratch: {source: scratch}", f"  scratch: {{source: scratch}}\n{FRACTALS}\n{HUB}"),
    )
    plan = plan_of(path)
    used = {}
    for planned in plan.cells:
        used.setdefault(planned.cell[1:3], set()).add(planned.chain.get(Kind.PRETRAIN))
    assert all(len(keys) == 1 for keys in used.values())
    assert used["tiny", "scratch"] == used["other", "scratch"] == {None}
    assert by_kind(plan)[Kind.PRETRAIN] == 4
    assert len(set.union(*used.values())) == 5


def test_the_inits_of_a_seed_are_paired(pretrained):
    """Same split, same first head and same order of the data: what differs is the init alone."""
    plan = plan_of(pretrained)
    seeds = {}
    for planned in plan.cells:
        seeds.setdefault((planned.cell.backbone, planned.cell.seed), []).append(dict(planned.seeds))
        train = plan.jobs[planned.chain[Kind.TRAIN]].config
        assert train.seeds == {p: planned.seeds[p] for p in ("weights", "order")}
        assert train.split.seed == planned.seeds["split"]
    for of_one in seeds.values():
        assert len(of_one) == 3 * 2
        assert all(other == of_one[0] for other in of_one)
        assert sorted(of_one[0]) == ["fit", "order", "split", "weights"]
        assert len(set(of_one[0].values())) == 4
    assert seeds["tiny", 0][0] != seeds["tiny", 1][0]


def test_all_seeds_are_tested_on_the_same_images(small):
    plan = plan_of(small)
    tracks = {plan.jobs[c.chain[Kind.TRAIN]].config.split.track_seed for c in plan.cells}
    assert len(tracks) == 1


def test_keys_are_the_same_in_every_process(pretrained):
    script = (
        "import sys; from pathlib import Path; from benchmark.spec.load import load_spec\n"
        "from benchmark.plan.make import Selection, make_plan\n"
        "print('\\n'.join(make_plan(load_spec(Path(sys.argv[1])), Selection()).jobs))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, pretrained],
        env={**os.environ, "PYTHONHASHSEED": "12345"}, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == list(plan_of(pretrained).jobs)


def test_planning_does_not_load_timm(small):
    script = (
        "import sys; from pathlib import Path; from benchmark.spec.load import load_spec\n"
        "from benchmark.plan.make import Selection, make_plan\n"
        "print(len(make_plan(load_spec(Path(sys.argv[1])), Selection()).cells))\n"
        "assert not {'timm', 'torchvision', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, small], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("4\n", "")


OF_STUDIES = {Kind.TRAINING_SET, Kind.ATTACK, Kind.CORRUPT, Kind.ASSESS, Kind.STUDY}
OF_SHARDS = {Kind.GATHER, Kind.CHOOSE}
ALL = frozenset(Kind) - {Kind.PRETRAIN, Kind.TUNE, Kind.BOUNDARY} - OF_STUDIES - OF_SHARDS
NETWORK = frozenset({Kind.TRAIN, Kind.EXTRACT, Kind.CLASSIFY, Kind.SCORE, Kind.MEASURE})
SCORED = frozenset({Kind.SCORE, Kind.MEASURE})


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("title: A few digits", "title: Digits", frozenset()),
        ("title: Near AUROC", "title: AUROC", frozenset()),
        ("    far:", "    outliers:\n      strokes: {dataset: strokes}\n    far:", frozenset()),
        ("epochs: 1", "epochs: 2", NETWORK),
        ("lr: 0.003", "lr: 0.004", NETWORK),
        ("batch_size: 6", "batch_size: 4", NETWORK),
        ("weight_decay: 0.01", "weight_decay: 0.01, optimizer: sgd", NETWORK),
        ("weight_decay: 0.01", "weight_decay: 0.01, scheduler: none", NETWORK),
        ("architecture: test_efficientnet", "architecture: test_resnet", NETWORK),
        ("train_per_class: 4", "train_per_class: 5", NETWORK | {Kind.SHIFT}),
        ("scale: cifar_c", "scale: imagenet_c", NETWORK - {Kind.TRAIN} | {Kind.SHIFT}),
        ("images_per_class: 3", "images_per_class: 2", NETWORK - {Kind.TRAIN} | {Kind.SHIFT}),
        ("image_size: 16", "image_size: 24", ALL),
        ("id: {dataset: digits, classes: [0, 1, 2]}", "id: {dataset: digits, classes: [0, 1, 4]}", ALL),
        ("n: 12}", "n: 13}", SCORED | {Kind.EXTRACT, Kind.DATA}),
        ("dataset: uniform_noise", "dataset: gaussian_noise", SCORED | {Kind.EXTRACT, Kind.DATA}),
        ("{k: 2}", "{k: 3}", SCORED),
    ],
)  # fmt: skip
def test_a_change_makes_new_keys_for_what_it_changes_and_nothing_else(small, edited, old, new, changed):
    before = plan_of(small)
    after = plan_of(edited((old, new)))
    fresh = {after.jobs[key].kind for key in after.jobs.keys() - before.jobs.keys()}
    assert fresh == changed


def test_another_seed_changes_all_of_its_network(small, edited):
    before = plan_of(small)
    after = plan_of(edited(("seeds: [0, 1]", "seeds: [0, 2]")))
    fresh = [after.jobs[key].kind for key in after.jobs.keys() - before.jobs.keys()]
    assert Counter(fresh) == {
        Kind.TRAIN: 1, Kind.EXTRACT: 4, Kind.CLASSIFY: 1, Kind.SCORE: 2, Kind.MEASURE: 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("preset: fractaldb_tiny", "preset: fractaldb_digits"),
        ("preset: fractaldb_tiny, training: {epochs: 1", "preset: fractaldb_tiny, training: {epochs: 2"),
        (EFFICIENTNET, EFFICIENTNET[:-1] + ", weights: {hub: {tag: r160_in1k}}}"),
        (EFFICIENTNET, EFFICIENTNET[:-1] + ", weights: {hub: {revision: a}}}"),
        (EFFICIENTNET, EFFICIENTNET[:-1] + ", weights: {hub: {mean: [0.5, 0.5, 0.5]}}}"),
    ],
)
def test_another_pre_training_recipe_changes_its_arm_alone(pretrained, edited, old, new):
    before = plan_of(pretrained)
    after = plan_of(edited((old, new)))
    touched = {planned.cell.init for planned in after.cells if planned.key not in before.jobs}
    assert touched == {"hub" if "hub" in new else "fractals"}
    fresh = {after.jobs[key].kind for key in after.jobs.keys() - before.jobs.keys()}
    assert fresh == NETWORK | {Kind.PRETRAIN}


def test_an_entry_at_the_defaults_is_published_and_another_declared(edited):
    path = edited(
        ("entries: [msp, knn]", "entries: [msp, knn, warm]"),
        ("\nentries:\n", "\nentries:\n  warm: {detector: energy, hyperparameters: {temperature: 1}}\n"),
    )
    modes = {planned.place.row: planned.settings["hp_mode"] for planned in plan_of(path).cells}
    assert modes == {"msp": "published", "warm": "published", "knn": "declared"}


def test_entries_of_one_detector_with_the_same_settings_share_their_scores(edited):
    path = edited(
        ("entries: [msp, knn]", "entries: [msp, twin]"),
        ("  msp: {detector: msp}", "  msp: {detector: msp}\n  twin: {detector: msp}"),
    )
    plan = plan_of(path)
    assert by_kind(plan)[Kind.SCORE] == 2
    assert [c.cell.entry for c in plan.cells] == ["msp", "twin"] * 2


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        (
            "{detector: msp}", "{detector: mps}", 23, "entries.msp.detector",
            "no detector 'mps'; did you mean 'msp'?",
        ),
        (
            "{detector: msp}", "{detector: msp, objective: cross_entropie}", 23, "entries.msp.objective",
            "no objective 'cross_entropie'; did you mean 'cross_entropy'?",
        ),
        ("{k: 2}", "{kk: 2}", 24, "entries.knn.hyperparameters", "knn: no hyper-parameter 'kk'; "),
        ("{k: 2}", "{k: two}", 24, "entries.knn.hyperparameters", "knn.k: expected "),
        ("{k: 2}", "{k: true}", 24, "entries.knn.hyperparameters", "knn.k: expected "),
        ("{k: 2}", "{k: 0}", 24, "entries.knn.hyperparameters", "knn: k: expected None or at least 1, got 0"),
        (
            "dataset: uniform_noise", "dataset: unifrm_noise", 11, "tracks.small.far.noise.dataset",
            "no dataset 'unifrm_noise'; did you mean 'uniform_noise'?",
        ),
        (
            "id: {dataset: digits", "id: {dataset: digit", 6, "tracks.small.id.dataset",
            "no dataset 'digit'; did you mean 'digits'?",
        ),
        (
            "    far:", "    outliers:\n      o: {dataset: stroke}\n    far:", 11,
            "tracks.small.outliers.o.dataset", "no dataset 'stroke'; did you mean 'strokes'?",
        ),
        (
            "classes: [3]", "classes: [3, 10]", 9, "tracks.small.near.threes.classes",
            "digits has no class 10; expected 0 to 9",
        ),
        (
            "n: 12", "classes: [0]", 11, "tracks.small.far.noise.classes",
            "uniform_noise has no class 0; it has no labels",
        ),
        (
            "id: {dataset: digits, classes: [0, 1, 2]}", "id: {dataset: gaussian_noise}", 6,
            "tracks.small.id.dataset", "gaussian_noise has no labels; the ID set needs them",
        ),
        (
            "dataset: uniform_noise", "dataset: strokes", 11, "tracks.small.far.noise.dataset",
            "strokes is kept for training outliers; no test set may use it",
        ),
        (
            "  scratch: {source: scratch}",
            f"  scratch: {{source: fractaldb, preset: fractaldb_tini, {RECIPE}}}", 21, "inits.scratch.preset",
            "no preset 'fractaldb_tini'; did you mean 'fractaldb_tiny'?",
        ),
    ],
)  # fmt: skip
def test_what_the_leaderboard_names_must_exist(edited, old, new, line, key, message):
    path = edited((old, new))
    with pytest.raises(SpecError) as caught:
        plan_of(path)
    assert str(caught.value).startswith(f"{path}:{line}: {key}: {message}")


def test_a_hyper_parameter_of_another_name_is_answered_with_those_that_there_are(edited):
    with pytest.raises(SpecError, match=r"'kk'; .*\bk\b"):
        plan_of(edited(("{k: 2}", "{kk: 2}")))


@pytest.mark.parametrize(
    ("selection", "cells"),
    [
        ({}, 12),
        ({"tracks": ("small",)}, 12),
        ({"entries": ("knn",)}, 6),
        ({"inits": ("hub", "scratch")}, 8),
        ({"seeds": (1,)}, 6),
        ({"backbones": ("tiny",), "inits": ("fractals",), "seeds": (0,), "entries": ("msp",)}, 1),
    ],
)
def test_a_selection_is_a_part_of_the_whole(pretrained, selection, cells):
    part, whole = plan_of(pretrained, **selection), plan_of(pretrained)
    assert len(part.cells) == cells
    for kind, names in selection.items():
        field = {"entries": "entry"}.get(kind, kind.removesuffix("s"))
        assert {getattr(planned.cell, field) for planned in part.cells} == set(names)
    assert part.jobs.keys() <= whole.jobs.keys()
    wanted = {key for planned in part.cells for key in planned.keys}
    unneeded = {key for key in part.jobs if part.jobs[key].kind not in (Kind.DATA, Kind.SHIFT)} - wanted
    assert unneeded == set()


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"tracks": ("smal",)}, "no track 'smal'; did you mean 'small'? there are: small"),
        ({"entries": ("mps",)}, "no entry 'mps'; did you mean 'msp'? there are: msp, knn"),
        ({"backbones": ("tinny",)}, "no backbone 'tinny'; did you mean 'tiny'? there are: tiny"),
        ({"inits": ("hup",)}, "no init 'hup'; did you mean 'hub'? there are: scratch, fractals, hub"),
        ({"seeds": (7,)}, "no seed '7'; there are: 0, 1"),
    ],
)  # fmt: skip
def test_a_selection_of_something_unknown_is_refused(pretrained, selection, message):
    with pytest.raises(UsageError) as caught:
        plan_of(pretrained, **selection)
    assert str(caught.value) == message


def test_a_selection_that_no_track_fits_is_refused(edited, small):
    track = small.read_text().partition("tracks:\n")[2].partition("backbones:\n  tiny")[0]
    other = track.replace("  small:", "  other:").replace("seeds: [0, 1]", "seeds: [5]")
    path = edited(("tracks:\n", f"tracks:\n{other.replace('entries: [msp, knn]', 'entries: [msp]')}"))
    assert len(plan_of(path).cells) == 5
    assert len(plan_of(path, seeds=(5,)).cells) == 1
    with pytest.raises(UsageError, match="nothing is selected"):
        plan_of(path, seeds=(5,), entries=("knn",))


def test_a_job_is_data(pretrained):
    """Configurations survive JSON, so a key can be computed anywhere."""
    for job in plan_of(pretrained).jobs.values():
        for said in (as_json(job.config), as_json(job.inputs)):
            assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_an_optimizer_that_timm_does_not_have(small):
    small.write_text(
        small.read_text().replace("weight_decay: 0.01}", "weight_decay: 0.01, optimizer: adamv}")
    )
    spec = load_spec(small)
    with pytest.raises(
        SpecError, match=r"leaderboard\.yaml:13: tracks\.small\.training\.optimizer: .*'adamv'"
    ):
        check_timm_names(spec, make_plan(spec, Selection()))


def test_the_names_of_the_small_leaderboard_are_timms(small):
    spec = load_spec(small)
    check_timm_names(spec, make_plan(spec, Selection()))
    small.write_text(small.read_text().replace("architecture: test_eff", "architecture: tset_eff"))
    spec = load_spec(small)
    with pytest.raises(SpecError, match=r"backbones\.tiny\.architecture: .*did you mean"):
        check_timm_names(spec, make_plan(spec, Selection()))


def test_l22_a_size_that_patches_do_not_divide_is_refused_before_anything_is_trained(small):
    text = small.read_text().replace("test_efficientnet", "vit_tiny_patch16_224")
    small.write_text(text.replace("image_size: 16", "image_size: 40"))
    spec = load_spec(small)
    expected = (
        r"leaderboard\.yaml:5: tracks\.small\.image_size: vit_tiny_patch16_224 at 40×40 pixels: images are "
        r"cut into patches of 16×16 pixels, of which 40 is no multiple: .*set image_size to 32 or 48$"
    )
    with pytest.raises(SpecError, match=expected):
        check_timm_names(spec, make_plan(spec, Selection()))
    small.write_text(text.replace("image_size: 16", "image_size: 48"))
    spec = load_spec(small)
    check_timm_names(spec, make_plan(spec, Selection()))


def test_no_key_says_where_a_network_is_trained(pretrained, monkeypatch):
    """Planned on a machine with accelerators, in a process that computes on one, all keys are as on a CPU."""
    at_home = plan_of(pretrained)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "accelerators", lambda: ("cuda:0", "cuda:1"))
    monkeypatch.setattr(device._PROCESS, "device", torch.device("cuda:1"))
    assert {Kind.PRETRAIN, Kind.TRAIN, Kind.EXTRACT} <= by_kind(at_home).keys()
    assert plan_of(pretrained).jobs.keys() == at_home.jobs.keys()


def test_a_precision_is_part_of_the_keys_of_all_that_a_network_computes(pretrained, edited):
    def keys(plan):
        found = {}
        for job in plan.jobs.values():
            found.setdefault(job.kind, set()).add(job.key)
        return found

    plan = plan_of(pretrained)
    exact = keys(plan)
    assert not any("precision" in json.dumps(as_json(job.config)) for job in plan.jobs.values())
    reduced = keys(plan_of(edited(("version: 1", "version: 1\nprecision: bf16"))))
    assert reduced.keys() == exact.keys()
    shared = {kind for kind in exact if reduced[kind] & exact[kind]}
    assert shared == {Kind.DATA, Kind.SHIFT}
    assert all(reduced[kind] == exact[kind] for kind in shared)


def test_what_is_compared_with_very_many_images_is_for_an_accelerator_and_keeps_its_key(small, monkeypatch):
    def scores():
        found = make_plan(load_spec(small), Selection()).jobs
        return {key: (job.config.detector, job.lane) for key, job in found.items() if job.kind == Kind.SCORE}

    before = scores()
    assert set(before.values()) == {("msp", Lane.CPU), ("knn", Lane.CPU)}
    monkeypatch.setattr("benchmark.studies.detection.study.HEAVY", 1)
    assert set(scores().values()) == {("msp", Lane.CPU), ("knn", Lane.DEVICE)}
    assert scores().keys() == before.keys()
