"""Classes of folders and classes of models."""

import numpy as np
import pytest

from benchmark.datasets.imagenet_names import IMAGENET_NAMES
from benchmark.errors import DataError
from benchmark.evaluation.pictures.classes import match_classes, numbered


def test_by_name_whatever_the_order_and_the_spelling():
    found = match_classes(["Great White", "cat", "traffic-light"], ("CAT", "traffic_light", "great white"), 3)
    assert found.to_model == (2, 0, 1)
    assert (found.how, found.notes) == ("name", ())
    assert found.of(np.array([1, 0])).tolist() == [0, 2]


def test_a_synonym_will_do():
    assert match_classes(["tabby", "egyptian_cat"], ("Egyptian cat", "tabby, tabby cat"), 2).to_model == (
        1,
        0,
    )


def test_fewer_classes_than_the_model_has_are_said():
    found = match_classes(["dog", "cat"], ("cat", "cow", "dog"), 3)
    assert found.to_model == (2, 0)
    assert found.notes == ("the images have 2 of the model's 3 classes",)


def test_two_folders_of_one_class_are_said():
    found = match_classes(["tabby", "tabby cat", "dog"], ("tabby, tabby cat", "dog"), 2)
    assert found.to_model == (0, 0, 1)
    assert "are one class of the model" in found.notes[0]


def test_wordnet_ids_and_synonyms_of_imagenet():
    for model in (IMAGENET_NAMES, tuple(name.split(",")[0] for name in IMAGENET_NAMES)):
        found = match_classes(["n01443537", "n01440764"], model, 1000)
        assert found.to_model == (1, 0)
    # The model knows the ids alone.
    assert match_classes(["goldfish", "Tinca tinca"], ("n01440764", "n01443537"), 2).to_model == (1, 0)
    # "crane" is a bird and a machine; an id says which.
    assert match_classes(["n02012849", "n03126707"], IMAGENET_NAMES, 1000).to_model == (134, 517)
    with pytest.raises(DataError, match=r"'crane' may be several classes.*134.*517"):
        match_classes(["crane", "goldfish"], IMAGENET_NAMES, 1000)


def test_all_of_imagenet_by_wordnet_id():
    import timm.data

    ids = timm.data.ImageNetInfo().label_names()
    assert match_classes(ids, IMAGENET_NAMES, 1000).to_model == tuple(range(1000))


def test_some_names_that_the_model_has_not_are_an_error():
    with pytest.raises(
        DataError, match=r"1 of the 3 classes are none.*'automobil'; did you mean 'automobile'"
    ):
        match_classes(["automobil", "cat", "dog"], ("automobile", "cat", "dog"), 3)


def test_by_order_with_a_warning():
    for model in (None, ("a", "b")):
        found = match_classes(["left", "right"], model, 2)
        assert (found.to_model, found.how) == ((0, 1), "order")
        assert "matched by order" in found.notes[0]


def test_other_numbers_of_classes_are_an_error_that_says_both():
    with pytest.raises(DataError, match=r"the images have 3 classes.*the model has 5"):
        match_classes(["a", "b", "c"], None, 5)
    with pytest.raises(DataError, match=r"the images have 3 classes.*the model has 2.*no name is the same"):
        match_classes(["a", "b", "c"], ("x", "y"), 2)


def test_folders_called_by_numbers_are_not_in_the_order_of_their_names():
    names = sorted(str(n) for n in range(12))
    assert names[2] == "10"
    found = match_classes(names, None, 12)
    assert (found.to_model[2], found.how) == (10, "number")
    assert match_classes(["3", "1"], None, 12).to_model == (3, 1)
    from_one = match_classes(sorted(str(n) for n in range(1, 13)), None, 12)
    assert from_one.to_model[1] == 9
    assert "taken for the model's classes 0 to 11" in from_one.notes[0]
    assert match_classes(["1", "0"], ("1", "0"), 2).to_model == (0, 1)  # names first


def test_one_class_only_is_an_error():
    with pytest.raises(DataError, match="one class only"):
        match_classes(["cat"], ("cat", "dog"), 2)


def test_numbers_out_of_range():
    with pytest.raises(DataError, match="label 7: expected 0 to 2"):
        numbered(3).of(np.array([0, 7]))
    assert numbered(2, ("a", "b")).names == ("a", "b")


def test_hostile_names_stay_on_one_line():
    with pytest.raises(DataError) as caught:
        match_classes(["<b>\x1b[31m\n", "b", "c"], None, 2)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
