"""Which names something new may have."""

import pytest
from places import ROOT, SHIPPED

from benchmark.errors import UsageError
from benchmark.scaffold.names import (
    check_dataset_name,
    check_method_name,
    check_name,
    check_track_name,
    class_name,
)
from benchmark.spec.load import load_spec


@pytest.mark.parametrize("name", ["a", "max_logit", "knn2", "a1_b2", "x" * 40, "match", "none"])
def test_a_plain_name_is_taken(name):
    check_name(name, "detector")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "expected lower_snake_case"),
        ("Knn", "expected lower_snake_case"),
        ("k-nn", "expected lower_snake_case"),
        ("2nd", "expected lower_snake_case"),
        ("_own", "expected lower_snake_case"),
        ("own_", "expected lower_snake_case"),
        ("a__b", "expected lower_snake_case"),
        ("a b", "expected lower_snake_case"),
        ("a\n", "expected lower_snake_case"),
        ("../evil", "expected lower_snake_case"),
        ("a/b", "expected lower_snake_case"),
        ("a.py", "expected lower_snake_case"),
        ("é", "expected lower_snake_case"),
        ("x" * 41, "has 41 characters; expected at most 40"),
        ("lambda", "is a word of Python; expected another"),
        ("true", "is a word of YAML; expected another"),
        ("null", "is a word of YAML; expected another"),
    ],
)
def test_any_other_is_refused(name, complaint):
    with pytest.raises(UsageError, match=complaint) as told:
        check_name(name, "detector")
    assert str(told.value).startswith("detector name ")
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def spec():
    return load_spec(SHIPPED)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("energy", "'energy' is taken, by methods/detectors/energy.py"),
        ("mixup", "'mixup' is taken, by methods/objectives/mixup.py"),
        ("glc", "'glc' is taken, by methods/corrections/glc.py"),
        ("smote", "'smote' is taken, by methods/samplers/smote.py"),
        ("maxlogit", "'maxlogit' is what others call 'max_logit' of detectors"),
        ("ebo", "'ebo' is what others call 'energy' of detectors"),
        ("gen_tuned", r"'gen_tuned' is taken, by entries\.gen_tuned of leaderboard\.yaml"),
        ("pgd_at_5", r"'pgd_at_5' is taken, by objectives\.pgd_at_5 of leaderboard\.yaml"),
        ("none_long", r"'none_long' is taken, by a row of a study"),
    ],
)
def test_the_name_of_a_method_is_nobody_elses(spec, name, complaint):
    with pytest.raises(UsageError, match=complaint):
        check_method_name(name, ROOT, spec)


def test_a_new_name_is_taken_and_a_broken_file_counts(spec, tmp_path):
    check_method_name("toy_new", ROOT, spec)
    (tmp_path / "methods" / "attacks").mkdir(parents=True)
    (tmp_path / "methods" / "attacks" / "toy_new.py").write_text("class (")
    with pytest.raises(UsageError, match=r"'toy_new' is taken, by methods/attacks/toy_new\.py"):
        check_method_name("toy_new", tmp_path, spec)


def test_names_of_datasets_and_tracks(spec):
    with pytest.raises(UsageError, match="'glyphs' is taken, by a dataset"):
        check_dataset_name("glyphs", ["glyphs"])
    check_track_name("glyphs", spec)  # as a track and a dataset are called cifar10
    with pytest.raises(UsageError, match=r"'digits' is taken, by tracks\.digits"):
        check_track_name("digits", spec)
    with pytest.raises(UsageError, match=r"'calibration' is taken, by boards\.calibration"):
        check_track_name("calibration", spec)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("max_logit", "MaxLogit"), ("knn2", "Knn2"), ("paper", "PaperNoiseModel"), ("none", "NoneNoiseModel")],
)
def test_a_class_shadows_nothing_of_its_file(name, expected):
    assert class_name(name, "from methods.method import Paper\n", "noise_model") == expected
