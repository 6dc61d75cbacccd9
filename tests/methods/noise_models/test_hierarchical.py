"""Hierarchical noise: its groups."""

import pytest
from label_noise_examples import rng
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import HyperparameterError
from methods.noise_models.hierarchical import CIFAR100
from methods.registry import noise_model


def test_hierarchical_noise_stays_within_groups():
    found = noise_model("hierarchical", groups=[3, 0, 3, 0, 3]).matrix(5, 0.4, rng())
    expected = [
        [0.6, 0, 0.2, 0, 0.2],
        [0, 0.6, 0, 0.4, 0],
        [0.2, 0, 0.6, 0, 0.2],
        [0, 0.4, 0, 0.6, 0],
        [0.2, 0, 0.2, 0, 0.6],
    ]
    assert_close(found, tensor(expected), **EXACT)


# The coarse classes of CIFAR-100 by name, in alphabetical order, as Krizhevsky's table lists them.
COARSE = (
    "beaver dolphin otter seal whale",
    "aquarium_fish flatfish ray shark trout",
    "orchid poppy rose sunflower tulip",
    "bottle bowl can cup plate",
    "apple mushroom orange pear sweet_pepper",
    "clock keyboard lamp telephone television",
    "bed chair couch table wardrobe",
    "bee beetle butterfly caterpillar cockroach",
    "bear leopard lion tiger wolf",
    "bridge castle house road skyscraper",
    "cloud forest mountain plain sea",
    "camel cattle chimpanzee elephant kangaroo",
    "fox porcupine possum raccoon skunk",
    "crab lobster snail spider worm",
    "baby boy girl man woman",
    "crocodile dinosaur lizard snake turtle",
    "hamster mouse rabbit shrew squirrel",
    "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "bicycle bus motorcycle pickup_truck train",
    "lawn_mower rocket streetcar tank tractor",
)


def test_the_groups_of_cifar_100_are_its_coarse_classes():
    coarse = {fine: i for i, group in enumerate(COARSE) for fine in group.split()}
    assert tuple(coarse[fine] for fine in sorted(coarse)) == CIFAR100
    matrix = noise_model("hierarchical").matrix(100, 0.4, rng())
    assert ((matrix > 0).sum(dim=1) == 5).all()
    assert_close(matrix[0, [0, 51, 53, 57, 83]], tensor([0.6, 0.1, 0.1, 0.1, 0.1]), **EXACT)


def test_other_classes_than_those_of_cifar_100_need_groups():
    with pytest.raises(
        ValueError, match=r"groups: None stands for the coarse classes of CIFAR-100.*each of 10"
    ):
        noise_model("hierarchical").matrix(10, 0.5, rng())
    with pytest.raises(ValueError, match="groups: expected one for each of 5 classes, got 4"):
        noise_model("hierarchical", groups=[0, 0, 1, 1]).matrix(5, 0.5, rng())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0, 0, 1], "class 2 is alone in group 1"),
        ([0, 0.5, 1], "whole number"),
        ([True, True], "whole number"),
        ("aabb", "expected"),
    ],
)
def test_groups_that_are_none_are_refused(groups, message):
    with pytest.raises(HyperparameterError, match=message):
        noise_model("hierarchical", groups=groups)


def test_groups_may_be_a_list_or_a_tuple():
    one, other = (noise_model("hierarchical", groups=kind([0, 0, 1, 1])) for kind in (list, tuple))
    assert one == other
    assert one.hyperparameters() == {"groups": (0, 0, 1, 1)}
    assert hash(one) == hash(other)
