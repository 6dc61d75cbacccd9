"""Networks that are not what they say: `get` takes none of them, `check` names each, and neither breaks."""

import json
import os

import pytest
import torch
from network_files import card, change, folder_of, keys, seal
from safetensors.torch import load_file, save_file

from benchmark.errors import DataError
from benchmark.networks.cards import CARD, INDEX
from benchmark.networks.check import check
from benchmark.networks.get import get
from benchmark.networks.shelf import Shelf
from benchmark.store.artifacts import Store

MODEL, ABOUT, HISTORY = "model.safetensors", "about.json", "history.json"


def weights(root, key, alter):
    path = folder_of(root, key) / MODEL
    tensors = load_file(path)
    alter(tensors)
    save_file(tensors, path)


def written(root, key, name, text):
    (folder_of(root, key) / name).write_text(text)


def altered_weights(root, key):
    def alter(tensors):
        next(iter(tensors.values())).view(-1)[0] += 1

    weights(root, key, alter)


def weights_that_are_not_a_number(root, key):
    def alter(tensors):
        next(one for one in tensors.values() if one.is_floating_point()).view(-1)[0] = torch.nan

    weights(root, key, alter)
    seal(root, key)


def weights_of_eight_bits(root, key):
    weights(root, key, lambda tensors: tensors.update(extra=torch.zeros(2).to(torch.float8_e4m3fn)))
    seal(root, key)


def no_weights(root, key):
    weights(root, key, dict.clear)
    seal(root, key)


def cut_short(root, key):
    path = folder_of(root, key) / MODEL
    path.write_bytes(path.read_bytes()[:100])


def cut_short_and_sealed(root, key):
    cut_short(root, key)
    seal(root, key)


def a_pickle(root, key):
    (folder_of(root, key) / MODEL).write_bytes(b"\x80\x04}\x94." * 10)
    seal(root, key)


def a_file_more(root, key):
    written(root, key, "setup.py", "1/0")


def a_file_more_on_the_card(root, key):
    written(root, key, "setup.py", "1/0")
    seal(root, key)


def a_file_less(root, key):
    (folder_of(root, key) / ABOUT).unlink()


def a_file_less_on_the_card(root, key):
    (folder_of(root, key) / ABOUT).unlink()
    seal(root, key)


def a_link(root, key):
    path = folder_of(root, key) / ABOUT
    path.unlink()
    path.symlink_to("/etc/hostname")


def a_card_that_is_a_link(root, key):
    path = folder_of(root, key) / CARD
    path.rename(root.parent / "card.json")
    path.symlink_to(root.parent / "card.json")


def a_folder_that_is_a_link(root, key):
    folder_of(root, key).rename(root.parent / key)
    folder_of(root, key).symlink_to(root.parent / key)


def names_that_lead_out(root, key):
    seal(root, key, files={**card(root, key)["files"], "../../x.json": {"sha256": "0" * 64, "bytes": 1}})


def names_with_markup(root, key):
    seal(root, key, place={**card(root, key)["place"], "track": "<script>alert(1)</script>"})


def huge_card(root, key):
    written(root, key, CARD, " " * (1 << 21))


def deep_card(root, key):
    written(root, key, CARD, "[" * 100_000)


def no_card(root, key):
    (folder_of(root, key) / CARD).unlink()


def a_pipe(root, key):
    (folder_of(root, key) / CARD).unlink()
    os.mkfifo(folder_of(root, key) / CARD)


def another_key(root, key):
    change(root, key, key="0" * 32)


def another_card_than_listed(root, key):
    change(root, key, licence="proprietary")


def infinite_seconds(root, key):
    change(root, key, seconds=float("inf"))


def unknown_memory(root, key):
    change(root, key, peak_memory_mb=None)


def another_seed(root, key):
    place = card(root, key)["place"]
    seal(root, key, place={**place, "seed": 1 - place["seed"]})


def another_training(root, key):
    training = card(root, key)["training"]
    seal(root, key, training={**training, "recipe": {**training["recipe"], "epochs": 100}})


def another_code(root, key):
    seal(root, key, code="0" * 32)


def other_libraries(root, key):
    made = card(root, key)["environment"]
    seal(root, key, environment={**made, "libraries": {**made["libraries"], "torch": "1.0"}})


def another_objective(root, key):
    written(
        root,
        key,
        ABOUT,
        json.dumps({"classes": 3, "loaded": None, "objective": "mixup", "hyperparameters": {}}),
    )
    seal(root, key)


def many_classes(root, key):
    about = json.loads((folder_of(root, key) / ABOUT).read_text())
    written(root, key, ABOUT, json.dumps({**about, "classes": 10**12}))
    seal(root, key)


def a_history_that_is_none(root, key):
    written(root, key, HISTORY, '[{"epoch": 1}]')
    seal(root, key)


def a_history_of_infinities(root, key):
    path = folder_of(root, key) / HISTORY
    epochs = json.loads(path.read_text())
    path.write_text(json.dumps([{**epochs[0], "loss": float("inf")}]))
    seal(root, key)


def a_deep_history(root, key):
    written(root, key, HISTORY, "[" * 200_000 + "]" * 200_000)
    seal(root, key)


BROKEN = {
    altered_weights: "its card says",
    weights_that_are_not_a_number: "holds NaN or infinity",
    weights_of_eight_bits: "'extra' is of type F8_E4M3; expected",
    no_weights: "holds no tensor",
    cut_short: "100 bytes; its card says",
    cut_short_and_sealed: "cannot be read as safetensors",
    a_pickle: "cannot be read as safetensors",
    a_file_more: "setup.py: is not on the card",
    a_file_more_on_the_card: "'setup.py'; expected model.safetensors, history.json, about.json",
    a_file_less: "about.json: cannot be read: No such file",
    a_file_less_on_the_card: "files: 'history.json', 'model.safetensors'; expected",
    a_link: "about.json: is a link; expected a regular file",
    a_card_that_is_a_link: "card.json: is a link; expected a regular file",
    a_folder_that_is_a_link: "is a link; expected a folder",
    names_that_lead_out: "'../../x.json'",
    names_with_markup: "place.track",
    huge_card: "2,097,152 bytes; expected at most 1,048,576",
    deep_card: "expected the card of a network",
    no_card: "cannot be read: No such file",
    a_pipe: "is not a regular file",
    another_key: "the name of its folder",
    another_card_than_listed: "is not the card that index.json lists",
    infinite_seconds: "expected the card of a network",
    unknown_memory: "peak_memory_mb",
    another_seed: "its key means small tiny scratch seed",
    another_training: "trained otherwise than its key means",
    another_code: "its card says code 000000000000; its key means",
    other_libraries: "torch 1.0",
    another_objective: "objective 'mixup'",
    many_classes: "classes",
    a_history_that_is_none: "expected what a training says of its epochs",
    a_history_of_infinities: "expected what a training says of its epochs",
    a_deep_history: "expected what a training says of its epochs",
}
IN_THE_INDEX = {names_with_markup}  # which lists no network then


@pytest.mark.parametrize("how", BROKEN, ids=lambda how: how.__name__)
def test_what_is_not_as_it_says_is_refused_and_named_and_the_others_are_taken(
    how, nets, asked, plan, spec, tmp_path
):
    bad, good = keys(nets)
    how(nets, bad)
    store = Store(tmp_path / "cache")
    if how in IN_THE_INDEX:
        for use in (lambda: get(asked, store, Shelf(nets)), lambda: checked(nets, spec, plan, tmp_path)):
            with pytest.raises(DataError, match=BROKEN[how]):
                use()
        return
    got = get(asked, store, Shelf(nets))
    assert [card.key for card in got.fetched] == [good]
    assert list(got.refused) == [bad]
    assert any(BROKEN[how] in fault for fault in got.refused[bad]), got.refused
    assert not store.has(bad)
    assert store.open(good)
    assert not [*(tmp_path / "cache" / "tmp").iterdir()]
    found = checked(nets, spec, plan, tmp_path)
    assert any(BROKEN[how] in finding for finding in found.findings), found.findings
    assert not [finding for finding in found.findings if good in finding]


def checked(nets, spec, plan, tmp_path):
    return check(Shelf(nets), spec, lambda track: plan, (), tmp_path / "no records")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "expected the index"),
        ("{}", "networks: Field required"),
        ('{"networks": {"../../../etc": {}}}', "networks"),
        ('{"networks": {}, "more": 1}', "more"),
        ('{"networks": NaN}', "networks"),
        (" " * ((1 << 26) + 1), "expected at most"),
    ],
)
def test_an_index_that_is_none_is_an_error(text, said, nets, asked, tmp_path):
    (nets / INDEX).write_text(text)
    with pytest.raises(DataError, match=r"index\.json") as refused:
        get(asked, Store(tmp_path / "cache"), Shelf(nets))
    assert said in str(refused.value)


def test_what_changes_while_it_is_copied_does_not_get_in(nets, asked, monkeypatch, tmp_path):
    import benchmark.networks.get as module

    def copy(source, target):
        target.write_bytes(source.read_bytes() + (b"!" if source.name == MODEL else b""))

    monkeypatch.setattr(module.shutil, "copyfile", copy)
    store = Store(tmp_path / "cache")
    got = get(asked, store, Shelf(nets))
    assert got.fetched == []
    assert all("was changed while it was read" in fault for [fault] in got.refused.values())
    assert not any(store.has(key) for key in asked)
    assert not [*(tmp_path / "cache" / "tmp").iterdir()]
