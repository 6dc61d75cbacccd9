"""U7: what is asked of a dataset and it does not have is found when planned, once, with its place."""

import numpy as np
import pytest
import torch
from hub_files import write_split

from benchmark.datasets import balanced_split, dataset
from benchmark.errors import SpecError
from benchmark.jobs.config import SplitConfig
from benchmark.jobs.id_data import id_rows
from benchmark.plan.checks import check_datasets
from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec


@pytest.fixture
def edited(small):
    def edit(*changes):
        text = small.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        small.write_text(text)
        return load_spec(small)

    return edit


SIZES = "{train_per_class: 4, val_per_class: 4}"
ID = "{dataset: digits, classes: [0, 1, 2]}"


def split(train, val):
    return SIZES, f"{{train_per_class: {train}, val_per_class: {val}}}"


def test_the_sizes_of_the_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    assert dataset("digits").class_sizes(None) == tuple(np.bincount(load_digits().target).tolist())


@pytest.mark.parametrize(
    ("name", "part", "classes", "size"),
    [
        ("cifar10", "train", 10, 5000),  # as the papers of both have it
        ("cifar10", "test", 10, 1000),
        ("cifar100", "train", 100, 500),
        ("cifar100", "train_375_per_class", 100, 375),
        ("textures", "test", 47, 40),
    ],
)
def test_the_sizes_of_balanced_splits_are_equal(name, part, classes, size):
    assert dataset(name).class_sizes(part) == (size,) * classes


def test_sizes_that_are_not_known_are_not_guessed():
    assert dataset("imagenet1k").class_sizes("train") == dataset("glyphs").class_sizes(None) == ()


def test_u7_a_split_larger_than_a_class_is_found_when_planned_and_told_once(edited):
    spec = edited(split(100, 77))  # the smallest of the classes 0, 1 and 2 has 177 digits
    path, _ = spec._origin
    with pytest.raises(SpecError) as caught:
        make_plan(spec, Selection())
    assert str(caught.value) == (
        f"{path}:7: tracks.small.split: 100 images of each class to train, 77 to validate and 1 to test are "
        "178, and class '2' of digits has 177; lower train_per_class or val_per_class"
    )


def test_u7_the_whole_of_a_class_may_be_used(edited):
    check_datasets(edited(split(100, 76)), "small")


def test_u7_only_the_classes_that_are_chosen_count(edited):
    check_datasets(
        edited(split(100, 80), (ID, "{dataset: digits, classes: [1, 3]}"), ("[3]", "[4]")), "small"
    )


CIFAR = (ID, "{dataset: cifar10, split: train}\n    id_test: {dataset: cifar10, split: test}")


def test_u7_a_balanced_split_of_the_hub_is_known(edited):
    """5,000 training images of each class; the test images come from elsewhere."""
    check_datasets(edited(CIFAR, split(4500, 500)), "small")
    expected = r"4,500 .* 501 to validate are 5,001, and class 'airplane' of cifar10 has 5,000"
    with pytest.raises(SpecError, match=expected):
        check_datasets(edited(("val_per_class: 500", "val_per_class: 501")), "small")


def test_u7_of_a_part_no_class_can_have_more_than_the_mean(edited):
    spec = edited((ID, "{dataset: mnist, split: train, n: 1005}"), split(60, 40))
    with pytest.raises(SpecError, match=r"are 101, and a class of the 1,005 images of mnist has 100; lower"):
        check_datasets(spec, "small")


def test_u7_without_class_sizes_no_class_can_have_more_than_the_mean(edited):
    """1,281,167 images of 1,000 classes: some class has at most 1,281."""
    spec = edited((ID, "{dataset: imagenet1k, split: train}"), split(1200, 82))
    with pytest.raises(SpecError, match=r"are 1,283, and a class of the 1,281,167 images .* has 1,281"):
        check_datasets(spec, "small")


MNIST = (ID, "{dataset: mnist, split: test}")


@pytest.fixture
def unbalanced(tmp_path, monkeypatch):
    """The mirror's file of an unbalanced set: three images of the digit 7, four and more of the others."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    labels = [7] * 3 + [9] * 6 + [0, 1, 2, 3, 4, 5, 6, 8] * 4
    path = dataset("mnist").place("test")
    return write_split(path, [b"no image is read"] * len(labels), labels, names="0123456789")


def test_u7_the_classes_of_an_unbalanced_set_are_counted_in_the_mirror(edited, unbalanced):
    check_datasets(edited(MNIST, split(1, 1)), "small")
    expected = r"split: 2 images .*, 1 to validate and 1 to test are 4, and class '7' of mnist has 3; lower"
    with pytest.raises(SpecError, match=expected):
        check_datasets(edited(("train_per_class: 1", "train_per_class: 2")), "small")


def test_u7_of_an_unbalanced_set_only_the_classes_that_are_chosen_count(edited, unbalanced):
    chosen = "{dataset: mnist, split: test, classes: [9]}"
    check_datasets(edited((ID, chosen), split(3, 2)), "small")
    with pytest.raises(SpecError, match=r"are 7, and class '9' of mnist has 6"):
        check_datasets(edited(("val_per_class: 2", "val_per_class: 3")), "small")


def test_u7_a_damaged_file_is_left_to_who_reads_its_images(edited, unbalanced):
    unbalanced.write_bytes(unbalanced.read_bytes()[:-9])
    check_datasets(edited(MNIST, split(1, 1)), "small")


@pytest.mark.parametrize("place", ["near", "far"])
def test_u7_more_images_than_a_split_has_are_found_when_planned(edited, place):
    new = "{dataset: cifar100, split: test, n: 10001}"
    old = "{dataset: digits, classes: [3]}" if place == "near" else "{dataset: uniform_noise, n: 12}"
    spec = edited((old, new))
    with pytest.raises(
        SpecError, match=r"\.n: 10,001 images are asked for, and cifar100 has 10,000; lower n"
    ):
        check_datasets(spec, "small")


def test_s5_a_track_may_train_on_all_that_there_is(edited):
    check_datasets(edited(CIFAR, split("all", 4999)), "small")
    new = split("all", 5000)
    with pytest.raises(SpecError, match=r"1 images .* 5,000 to validate are 5,001, and class 'airplane'"):
        check_datasets(edited((split("all", 4999)[1], new[1])), "small")


def test_s5_all_leave_no_images_to_test(edited):
    with pytest.raises(SpecError, match=r"split.train_per_class: got 'all', which leaves no test images"):
        check_datasets(edited(split("all", 2)), "small")


def test_s5_all_that_do_not_validate_train():
    labels = np.repeat(np.arange(3), (4, 6, 9))
    found = balanced_split(labels, None, 2, track_seed=0, seed=1, whole=True)
    assert np.bincount(labels[found.train]).tolist() == [2, 4, 7]
    assert np.bincount(labels[found.val]).tolist() == [2, 2, 2]
    assert len(found.test) == 0
    assert sorted([*found.train, *found.val]) == list(range(19))
    with pytest.raises(ValueError, match="class 0 has 4 samples, needs at least 5"):
        balanced_split(labels, None, 4, track_seed=0, seed=1, whole=True)
    with pytest.raises(ValueError, match="leaves no test samples"):
        balanced_split(labels, None, 2, track_seed=0, seed=1)


@pytest.mark.parametrize(("whole", "parts"), [(True, {"train", "val"}), (False, {"train", "val", "test"})])
def test_what_a_split_leaves_is_a_part_only_where_it_is_tested_on(whole, parts):
    labels = torch.arange(3).repeat(8)
    rows = id_rows(SplitConfig(4, 2, 0, whole, 0), labels)
    assert rows.keys() == parts
    assert [len(rows[part]) for part in ("train", "val")] == [12, 6]
