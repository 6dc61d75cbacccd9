"""Which classes of an OOD set are classes of the ID set: the shipped lists, worked out again from names."""

import pytest
from places import ROOT
from timm.data import ImageNetInfo

from benchmark.datasets import dataset
from benchmark.spec.load import load_spec

SHIPPED = ROOT / "leaderboard.yaml"
pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason=f"no checkout: {SHIPPED} is not there")

# Nouns that are, or name a kind of, a class of CIFAR; the last word of a name or of a synonym counts.
OF_CIFAR10 = {
    "automobile": {"convertible", "limousine", "car"},
    "bird": {"goose", "stork", "penguin", "albatross"},
    "cat": {"cat", "tabby"},
    "deer": {"gazelle"},  # no deer, and hard to tell from one
    "dog": {"chihuahua", "terrier", "retriever", "dog", "poodle"},
    "frog": {"bullfrog", "frog"},
    "ship": {"lifeboat", "gondola"},
    "truck": {"van", "wagon"},
}
OF_CIFAR100 = {
    "aquarium_fish": {"goldfish"},
    "bear": {"bruin"},
    "bee": {"bee"},
    "beetle": {"beetle"},
    "bottle": {"bottle"},
    "bridge": {"bridge", "viaduct"},
    "bus": {"bus", "trolleybus"},
    "butterfly": {"butterfly"},
    "camel": {"camel"},
    "cattle": {"ox"},
    "chair": {"chair"},
    "chimpanzee": {"chimpanzee"},
    "cockroach": {"cockroach"},
    "crocodile": {"mississipiensis"},  # the American alligator
    "elephant": {"elephant"},
    "keyboard": {"keyboard"},
    "lamp": {"lampshade"},
    "lawn_mower": {"mower"},
    "lion": {"lion"},
    "lobster": {"lobster"},
    "mountain": {"alp"},
    "mushroom": {"mushroom"},
    "orange": {"orange"},
    "plate": {"plate"},
    "rocket": {"missile"},
    "sea": {"seashore"},
    "snail": {"snail"},
    "snake": {"constrictor"},
    "spider": {"tarantula", "widow"},
    "sweet_pepper": {"pepper"},
    "table": {"table"},
    "telephone": {"pay-phone"},
    "tractor": {"tractor"},
    "train": {"train", "car"},
}
NOT = {  # whose last word is another thing's
    "cifar10": {"freight car", "bear cat", "police dog"},
    "cifar100": {"sports car", "sport car", "estate car", "mountain lion", "hotdog"},
}


def overlapping(track, kinds):
    """The classes of Tiny ImageNet, by WordNet's names, that are kinds of classes of a CIFAR."""
    words = {word for found in kinds.values() for word in found}
    info = ImageNetInfo()
    found = []
    for name in dataset("tiny_imagenet").card.class_names:
        spoken = {
            one.strip().lower() for one in info.label_name_to_description(name, detailed=False).split(",")
        }
        if any(one.split()[-1] in words for one in spoken - NOT[track]):
            found.append(name)
    return found


@pytest.mark.parametrize(
    ("track", "kinds"), [("cifar10", OF_CIFAR10), ("cifar10_robust", OF_CIFAR10), ("cifar100", OF_CIFAR100)]
)
def test_tiny_imagenet_is_tested_without_the_classes_of_cifar(track, kinds):
    asked = load_spec(SHIPPED).tracks[track]
    assert kinds.keys() <= set(dataset(asked.id.dataset).card.class_names)
    assert asked.near["tiny_imagenet"].without == overlapping(asked.id.dataset, kinds)


@pytest.mark.parametrize("track", ["cifar10", "cifar10_robust", "cifar100"])
def test_no_other_class_has_a_name_of_the_id_set(track):
    """Names alone, singular or plural: what is left of every labelled OOD set but those of CIFAR itself."""
    spec = load_spec(SHIPPED)
    names = {name.replace("_", " ") for name in dataset(spec.tracks[track].id.dataset).card.class_names}
    for group in (spec.tracks[track].near, spec.tracks[track].far):
        for source in group.values():
            declared = spec.datasets.get(source.dataset)
            left = set(declared.class_names or () if declared else dataset(source.dataset).card.class_names)
            left -= {str(name) for name in source.without or ()}
            assert not {name for name in left if name in names or name.removesuffix("s") in names}, source
