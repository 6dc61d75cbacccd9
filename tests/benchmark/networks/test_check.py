"""Whether exported networks are those that today's plan asks for and that published records stand on."""

import json

import pytest
import torch
from network_files import folder_of, keys, rename, seal
from safetensors.torch import load_file, save_file
from small_leaderboard import SMALL
from small_runs import Place, planned, run

from benchmark.datasets import DataMissing
from benchmark.networks.asked import asked_of
from benchmark.networks.check import check
from benchmark.networks.export import export
from benchmark.networks.get import get
from benchmark.networks.shelf import Shelf
from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store


@pytest.fixture
def checked(nets, plan, spec, ran):
    def run(published=ran.folder / "runs", of=lambda track: plan, tracks=()):
        return check(Shelf(nets), spec, of, tracks, published)

    return run


def altered(nets, key):
    path = folder_of(nets, key) / "model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, path)
    seal(nets, key)


def test_networks_that_are_fine_have_no_findings(checked, tmp_path):
    found = checked()
    assert (found.networks, found.findings, found.unpublished) == (2, [], 0)
    found = checked(tmp_path / "no records")
    assert (found.networks, found.findings, found.unpublished) == (2, [], 2)


def test_weights_that_the_published_records_do_not_stand_on_are_found(checked, nets, tmp_path):
    altered(nets, keys(nets)[0])
    [finding] = checked().findings
    assert f"({keys(nets)[0]}): weights " in finding
    assert "its published training and published rows stand on " in finding
    assert checked(tmp_path / "no records").findings == []


def test_networks_of_other_libraries_are_named_with_the_versions(checked, nets, asked, tmp_path):
    key = keys(nets)[0]
    rename(nets, key, other := key[::-1])
    made = json.loads((folder_of(nets, other) / "card.json").read_text())["environment"]
    seal(nets, other, environment={**made, "libraries": {**made["libraries"], "torch": "1.0"}})
    here = torch.__version__.partition("+")[0]
    [finding] = checked().findings
    assert f"today's key is another: made with torch 1.0, here torch {here}" in finding
    got = get(asked, Store(tmp_path / "cache"), Shelf(nets))
    assert got.absent == {key: f"there it is made with torch 1.0, here torch {here}"}


def test_networks_of_other_code_are_named_so(checked, nets, asked, tmp_path):
    key = keys(nets)[0]
    rename(nets, key, other := key[::-1])
    seal(nets, other, code="0" * 32)
    [finding] = checked().findings
    assert f"made by other code (000000000000, today {asked[key].job.code[:12]})" in finding


def test_networks_of_other_settings_are_named_so(checked, nets, spec, tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL.replace("lr: 0.003", "lr: 0.004"))
    other = make_plan(load_spec(tmp_path / "leaderboard.yaml"), Selection())
    findings = checked(of=lambda track: other).findings
    assert len(findings) == 2
    assert all("made of other data or with other settings than today's" in finding for finding in findings)
    assert set(get(asked_of([other]), Store(tmp_path / "cache"), Shelf(nets)).absent.values()) == {
        "there it is made of other data or with other settings than today's"
    }


def test_a_track_that_is_not_there_or_has_no_data_is_said(checked, nets):
    def no_data(track):
        raise DataMissing("no data")

    assert all("today's plan: no data" in finding for finding in checked(of=no_data).findings)
    place = json.loads((folder_of(nets, keys(nets)[0]) / "card.json").read_text())["place"]
    seal(nets, keys(nets)[0], place={**place, "track": "gone"})
    found = checked()
    assert len([finding for finding in found.findings if "gone" in finding]) == 1
    rename(nets, keys(nets)[0], "0" * 32)
    assert any("no such track in leaderboard.yaml" in finding for finding in checked().findings)


def test_only_the_named_tracks_are_checked(checked, nets):
    rename(nets, keys(nets)[0], "0" * 32)
    place = json.loads((folder_of(nets, "0" * 32) / "card.json").read_text())["place"]
    seal(nets, "0" * 32, place={**place, "track": "other"})
    found = checked(tracks=["small"])
    assert (found.networks, found.findings) == (1, [])


def test_what_the_index_has_and_the_folder_lacks_and_the_reverse(checked, nets):
    key = keys(nets)[0]
    folder_of(nets, key).rename(nets / "networks" / ("0" * 32))
    (nets / "networks" / "notes.txt").write_text("mine")
    (nets / ".gitattributes").write_text("*.safetensors filter=lfs")
    findings = checked().findings
    assert any(f"{key}: index.json lists it, and it is not there" in finding for finding in findings)
    assert any(f"{'0' * 32}: index.json does not list it" in finding for finding in findings)
    assert any("notes.txt: belongs to no network" in finding for finding in findings)
    assert not any("gitattributes" in finding for finding in findings)


def test_networks_on_other_training_sets_are_compared_with_their_own_records(tmp_path):
    study = (
        "    studies:\n      label_noise:\n        inits: [scratch]\n        strengths: [0.0, 1.0]\n"
        "        noises: {uniform: {method: uniform}}\n        methods: {none: {objective: cross_entropy}}\n"
    )
    text = SMALL.replace("backbones:\n  tiny", f"{study}backbones:\n  tiny").replace("[0, 1]\n", "[0]\n")
    (tmp_path / "leaderboard.yaml").write_text(text)
    place = Place(tmp_path / "cache", tmp_path / "runs")
    run(tmp_path / "leaderboard.yaml", place)
    plan, spec = planned(tmp_path / "leaderboard.yaml"), load_spec(tmp_path / "leaderboard.yaml")
    export(plan, spec, Store(place.cache), tmp_path / "nets", "mit")
    places = {str(one.place) for one in Shelf(tmp_path / "nets").index().networks.values()}
    assert places == {
        "small tiny scratch seed 0 cross_entropy: train",
        "small tiny scratch seed 0 cross_entropy label_noise none uniform@1: train",
    }
    found = check(Shelf(tmp_path / "nets"), spec, lambda track: plan, (), place.results)
    assert (found.networks, found.findings, found.unpublished) == (2, [], 0)
