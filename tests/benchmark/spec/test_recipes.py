"""A track may train some backbones and inits by recipes of their own."""

from __future__ import annotations

import pytest
from small_leaderboard import SMALL

from benchmark.errors import SpecError
from benchmark.plan.checks import check_timm_names
from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec

TWO = SMALL.replace("backbones: [tiny]", "backbones: [tiny, other]").replace(
    "  tiny: {architecture: test_efficientnet}",
    "  tiny: {architecture: test_efficientnet}\n  other: {architecture: test_resnet}",
)
TRAINING = "training: {epochs: %d, batch_size: 6, lr: 0.003, weight_decay: 0.01}"
RECIPES = f"""\
    recipes:
      - {{backbones: [other], inits: [scratch], {TRAINING % 3}}}
      - {{backbones: [other], {TRAINING % 4}}}
    backbones:"""


def loaded(tmp_path, text):
    file = tmp_path / "leaderboard.yaml"
    file.write_text(text)
    return load_spec(file)


def checked(tmp_path, text):
    spec = loaded(tmp_path, text)
    check_timm_names(spec, make_plan(spec, Selection()))


def test_the_first_recipe_that_suits_a_network_is_its_own(tmp_path):
    track = loaded(tmp_path, TWO.replace("    backbones:", RECIPES)).tracks["small"]
    assert track.recipe("other", "scratch").epochs == 3
    assert track.recipe("other", "hub").epochs == 4
    assert track.recipe("tiny", "scratch") == track.training


def test_networks_are_planned_and_recorded_by_their_own_recipe(tmp_path):
    plans = [
        make_plan(loaded(tmp_path, text), Selection(full=True))
        for text in (TWO, TWO.replace("    backbones:", RECIPES))
    ]
    before, after = ({place.place: place for place in plan.places} for plan in plans)
    for place, planned in after.items():
        assert planned.training.recipe["epochs"] == (3 if place.backbone == "other" else 1)
        assert (planned.key == before[place].key) == (place.backbone == "tiny")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[other], inits", "[othr], inits", "recipes.0.backbones.0: 'othr' is not on track 'small'; did you"),
        ("inits: [scratch], t", "inits: [nowhere], t", "recipes.0.inits.0: 'nowhere' is not on track"),
        ("epochs: 4, ", "", "recipes.1.training.epochs"),
        ("weight_decay: 0.01}}\n    backbones", "weight_decay: 0.01, optimizer: adm}}\n    backbones",
         "recipes.1.training.optimizer: timm has no optimizer 'adm'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_named_by_line_and_key(tmp_path, old, new, complaint):
    text = TWO.replace("    backbones:", RECIPES)
    assert old in text
    with pytest.raises(SpecError, match=complaint) as caught:
        checked(tmp_path, text.replace(old, new, 1))
    assert "leaderboard.yaml:" in str(caught.value)
