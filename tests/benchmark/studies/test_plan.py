"""What is planned of the studies, and what is refused."""

import pytest
from small_studies import ALL, LEADERBOARD, planned, written

from benchmark.errors import SpecError, UsageError
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec


def test_full_adds_what_it_names(tmp_path):
    ordinary, full = planned(tmp_path, studies=ALL), planned(tmp_path, studies=ALL, full=True)
    rows = {(s.place.study, s.place.row, s.place.init, s.place.condition) for s in full.studies}
    assert {(s.place.study, s.place.row, s.place.init, s.place.condition) for s in ordinary.studies} < rows
    assert ("adversarial", "robust", "moved_head", "") in rows
    assert ("label_noise", "forward", "scratch", "flip@0.75") in rows


def test_a_way_of_training_may_have_fewer_conditions(tmp_path):
    text = LEADERBOARD.replace("trusted: 0.1}", "trusted: 0.1, conditions: [uniform@1, uniform@0.5]}")
    plan = planned(tmp_path, text, studies=("label_noise",))
    found = [(s.place.row, s.place.condition) for s in plan.studies if s.place.seed == 0]
    assert [condition for row, condition in found if row == "glc"] == ["uniform@0.5", "uniform@1"]
    assert len([row for row, _ in found if row == "none"]) == 3


def test_an_ordinary_run_may_have_fewer_seeds(tmp_path):
    text = LEADERBOARD.replace("      imbalance:\n", "      imbalance:\n        seeds: [1]\n")

    def seeds(**selection):
        return {s.place.seed for s in planned(tmp_path, text, studies=("imbalance",), **selection).studies}

    assert seeds() == {1}
    assert seeds(full=True) == {0, 1}
    assert seeds(seeds=(0,)) == {0}


def test_a_cell_selection_has_no_studies_and_the_other_way_round(tmp_path):
    assert not planned(tmp_path, entries=("msp",)).studies
    assert not planned(tmp_path, studies=("imbalance",)).cells
    both = planned(tmp_path)
    assert both.cells
    assert {s.place.study for s in both.studies} == set(ALL)


def test_adversarial_pretraining_is_shared_by_both_ways_of_tuning(tmp_path):
    plan = planned(tmp_path, full=True, studies=("adversarial",))
    moved = {s.place.init: s.chain for s in plan.studies if s.place.init.startswith("moved")}
    assert moved["moved"][Kind.PRETRAIN] == moved["moved_head"][Kind.PRETRAIN]
    assert moved["moved"][Kind.TRAIN] != moved["moved_head"][Kind.TRAIN]
    job = plan.jobs[moved["moved"][Kind.PRETRAIN]]
    assert (job.config.objective, job.config.hyperparameters["attack_steps"]) == ("pgd_at", 1)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("method: pgd,", "method: pgdd,", r"studies.adversarial.attacks.pgd: no attack 'pgdd'.*pgd"),
        ("{steps: 2}}", "{steps: 0}}", r"attacks.pgd: .*steps: expected at least 1, got 0"),
        ("{steps: 2}}", "{epsilon: 1.5}}", r"attacks.pgd: .*epsilon: expected a number in \[0, 1\], got 1.5"),
        ("curves: pgd", "curves: fgsm", "curves: 'fgsm' is none of the attacks"),
        ("curves: pgd", "curves: square", "'square' has no steps"),
        ("method: pgd, hyperparameters: {steps: 2}", "method: apgd_t, hyperparameters: {steps: 5}",
         "curves: 'pgd' shows 3 points of its search; expected one for each of its 5 steps"),
        ("steps: [1, 2]", "steps: [1, 3]", "got 3; expected at most 2, the steps of 'pgd'"),
        ("adversarial:\n", "adversarial:\n        seeds: [0, 5]\n", "'5' is not on track 'small'"),
        ("epsilons: [0.01", "epsilons: [1.01", "epsilons.0.*less than or equal to 1"),
        ("detectors: [msp, knn]", "detectors: [msp, knnn]", "no detector 'knnn'"),
        ("detectors: [msp, knn]", "detectors: [msp, ensemble]", "'ensemble' scores by several networks"),
        ("detectors: [msp, knn]", "detectors: [msp, godin]", "'godin' has a step that is not chosen yet"),
        ("        detectors: [msp]\n      label", "        detectors: [odin]\n      label",
         "corruptions.detectors: 'odin' moves the images first"),
        ("        detectors: [msp]\nbackbones", "        detectors: [odin]\nbackbones",
         "imbalance.detectors: 'odin' moves the images first"),
        ("to: [robust]", "to: [rubust]", "'rubust' is none of the networks; expected one of"),
        ("kinds: [gaussian", "kinds: [frost, gaussian", "kinds.0"),
        ("strengths: [0.0, 0.5, 1.0]", "strengths: [0.0, 0.5, 1.2]", "strengths"),
        ("strengths: [0.0, 0.5, 1.0]", "strengths: [0.0, 0.5]", "from 0.0 to 1.0"),
        ("trusted: 0.1", "trusted: 0.01", "a share of 0.01 of the 10 training images of a class is none"),
        ("glc: {objective: glc, trusted: 0.1}", "glc: {objective: glc}", "expected `trusted` above 0"),
        ("method: uniform}", "method: gaussian}", "no noise model 'gaussian'"),
        ("trusted: 0.1", "trusted: 0.99", "0.99 of the 10 training .* is all of them; .* from 0.1 to 0.9"),
        ("noises: {uniform: {method: uniform}}", "noises: {uniform: {method: hierarchical}}",
         "noises.uniform: .*groups"),
        ("mu: 0.2", "mu: 2.0", "profiles.exp.*mu"),
        ("mu: 0.2", "mu: 0.001", "profiles.exp: .*would have no image where the largest has 10"),
        ("mu: 0.2", "mu: 1.0", "profiles.exp: every class has 10 images left"),
        ("method: smote}", "method: smote, hyperparameters: {neighbours: 2}}",
         "methods.smote.sampler: 2 neighbours of an image need 3 images .* the profile 'exp' leaves one 2"),
        ("seeds: [0, 1]", "seeds: [0]", "adversarial.transfer: .*of another seed, and the track has 1"),
        ("method: smote", "method: smite", "no sampler 'smite'.*smote"),
        ("inits: [scratch]\n        prof", "inits: [nowhere]\n        prof", "unknown init 'nowhere'"),
        ("watched: {none: [0.5]}", "watched: {none: [0.3]}", "0.3 is none of the strengths"),
        ("watched: {none: [0.5]}", "watched: {nome: [0.5]}", "'nome' is no method"),
        ("none: {objective: cross_entropy}\n          g", "none: {conditions: [uniform@0.4]}\n          g",
         "label_noise.methods.none.conditions: 'uniform@0.4' is no condition; did you mean 'uniform@0"),
        ("networks: {cross_entropy: [scratch], robust", "networks: {crossentropy: [scratch], robust",
         "no objective 'crossentropy'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_file_line_and_key(tmp_path, old, new, complaint):
    assert old in LEADERBOARD
    with pytest.raises(SpecError, match=complaint) as caught:
        planned(tmp_path, LEADERBOARD.replace(old, new, 1))
    assert "leaderboard.yaml" in str(caught.value)


def test_a_mistake_in_what_only_a_full_run_has_is_found(tmp_path):
    text = LEADERBOARD.replace("{objective: forward_correction}", "{objective: forward_gold, trusted: 0.01}")
    line = 1 + next(i for i, row in enumerate(text.splitlines()) if "forward_gold" in row)
    with pytest.raises(
        SpecError, match=rf"yaml:{line}: .*label_noise.full.methods.forward.trusted: a share of 0.01"
    ):
        planned(tmp_path, text, full=True)


def test_a_study_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no study 'imbalanced'.*imbalance"):
        planned(tmp_path, studies=("imbalanced",))


def test_an_optimizer_that_timm_has_not_is_refused_for_a_study_too(tmp_path):
    from benchmark.plan.checks import check_timm_names

    text = LEADERBOARD.replace("batch_size: 60, lr", "batch_size: 60, optimizer: adamq, lr")
    spec = load_spec(written(tmp_path, text))
    plan = make_plan(spec, Selection(full=True, studies=("adversarial",)))
    with pytest.raises(SpecError, match=r"inits.moved\w*.of.training.optimizer: timm has no .* 'adamq'"):
        check_timm_names(spec, plan)


def test_classes_that_a_source_has_not_cannot_be_left_out(tmp_path):
    old = "      source: fractaldb\n      preset: fractaldb_tiny\n"
    new = (
        "      source: dataset\n"
        "      images: {dataset: digits, classes: [5, 6, 7]}\n"
        "      exclude_classes: [999]\n"
    )
    with pytest.raises(SpecError, match=r"of.exclude_classes: digits has no class 999; it has 10"):
        planned(tmp_path, LEADERBOARD.replace(old, new, 1))
