"""Whether exported networks are what they say, what the plan asks for, and what the records stand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmark.errors import DataError
from benchmark.networks.cards import Card, faults_of, keys_in, read_card
from benchmark.networks.export import networks_of
from benchmark.plan.plan import Plan
from benchmark.records.files import iterate
from benchmark.records.record import DETECTION

MODEL = "model.safetensors"
Standing = tuple[str, str, str, int, str]  # track, backbone, init, seed, objective


def check(root: Path, plan: Plan, published: Path) -> Iterator[tuple[str, list[str]]]:
    """Check every network of a folder: its place, and what is wrong with it.

    Files, cards, whether its weights are finite; whether today's plan asks for it; whether the published
    records of its place stand on these weights.

    Raises
    ------
    DataError
        If the folder holds no networks, or the published records cannot be read.
    """
    asked, stands = networks_of(plan), _stands(published)
    for key in keys_in(root):
        try:
            card = read_card(root, key)
        except DataError as error:
            yield key, [str(error)]
            continue
        faults = [*faults_of(root, card)]
        if key not in asked:
            faults.append(f"{card.place}: today's key is another: other code, settings, data or libraries")
        if not faults:
            faults += _on_others(card, stands)
        yield card.place, faults


def _on_others(card: Card, stands: Mapping[Standing, set[str]]) -> Iterator[str]:
    """What published records of its place stand on, if on other weights."""
    if card.kind != "train" or card.training is None or MODEL not in card.files:
        return
    weights = stands.get((card.track, card.backbone, card.init, card.seed, card.objective))
    if weights and card.files[MODEL].sha256 not in weights:
        yield (
            f"{card.place}: weights {card.files[MODEL].sha256[:12]}…; the published records stand on "
            f"{', '.join(sorted(one[:12] + '…' for one in weights))}"
        )


def _stands(published: Path) -> dict[Standing, set[str]]:
    """The weights that published cells of OOD detection stand on."""
    found: dict[Standing, set[str]] = {}
    for file in iterate(published, DETECTION):
        for record in file.records:
            if record.checkpoint and record.networks == 1:
                place = (
                    file.track,
                    record.backbone,
                    record.init,
                    record.seed,
                    str(record.settings["objective"]),
                )
                found.setdefault(place, set()).add(record.checkpoint)
    return found
