"""A new method of any family: its file, its worked numbers to be filled in, its place on a track."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmark.errors import UsageError
from benchmark.scaffold.checkout import Addition, Checkout
from benchmark.scaffold.names import check_method_name, check_name, class_name
from benchmark.scaffold.templates import filled, written
from benchmark.spec.leaderboard import Entry, Spec, Track
from benchmark.spec.yaml_edit import Editor
from benchmark.spec.yaml_tree import Keys, dotted
from benchmark.studies.settings import StudySettings
from methods.cards import FAMILIES, MethodCard, cards, kind_of
from methods.names import did_you_mean

FAMILY_OF = {family.removesuffix("s"): family for family in FAMILIES}  # of what is asked for
USUAL_TRACK = "digits"
SCORED_WITH = "msp"  # networks of a new objective, until its file says with what
PLAIN = Entry.model_fields["objective"].default  # how the networks of a detector's entry are trained


def new_method(checkout: Checkout, kind: str, name: str, track: str | None) -> Addition:
    """What makes a new method of a kind, such as ``detector`` or ``noise_model``.

    Parameters
    ----------
    track : that its entry, or its line in a study, is added to; else the usual one.

    Raises
    ------
    UsageError
        If the name or the track cannot be taken.
    SpecError
        If leaderboard.yaml is wrong, or is written so that nothing can be added to it.
    """
    spec, family = checkout.spec, FAMILY_OF[kind]
    check_name(name, kind)
    check_method_name(name, checkout.root, spec)
    track = _track(spec, track)
    module, test = f"methods/{family}/{name}.py", f"tests/methods/{family}/test_{name}.py"
    cls = class_name(name, written(f"{kind}.py"), kind)
    editor = checkout.editor()
    add = {"detectors": _add_detector, "objectives": _add_objective}.get(family, _add_to_study)
    keys, run = add(editor, spec, family, name, track)
    after = checkout.checked(editor)
    return Addition(
        files={
            module: filled(f"{kind}.py", name=name, cls=cls),
            test: filled(f"{kind}_test.py", name=name),
        },
        leaderboard=editor.text,
        keys=tuple(dotted(key) for key in keys),
        commands=(
            f"$EDITOR {module} {test}",
            f"oodbench check {name}",
            f"oodbench run --track {track} {run}",
        ),
        notes=tuple(_notes(spec, after, track)),
    )


Added = tuple[list[Keys], str]
"""Keys of leaderboard.yaml, and the options of `oodbench run` that choose what was added."""


def _add_detector(editor: Editor, spec: Spec, family: str, name: str, track: str) -> Added:
    """An entry, listed behind the last plain one of a detector that looks at the same."""
    new = kind_of(MethodCard(family, name))
    known = cards(family)

    def alike(entry: str) -> bool:
        of = spec.entries[entry]
        plain = of.objective == PLAIN and of.tune is None
        return plain and of.detector in known and kind_of(known[of.detector]) == new

    after = _last(spec.tracks[track].entries, alike)
    editor.add_key(("entries",), name, {"detector": name}, after)
    editor.add_item(("tracks", track, "entries"), name, after)
    return [("entries", name), ("tracks", track, "entries")], f"--entry {name}"


def _add_objective(editor: Editor, spec: Spec, family: str, name: str, track: str) -> Added:
    """An entry with the detector of its file, among those that only a full run measures, where there are."""
    entry, of = f"{name}+{SCORED_WITH}", spec.tracks[track]
    listed = (of.entries, ("entries",)) if of.full is None else (of.full.entries, ("full", "entries"))
    after = _last(listed[0], lambda other: spec.entries[other].objective != PLAIN)
    last = _last(spec.entries, lambda other: spec.entries[other].objective != PLAIN)
    editor.add_key(("entries",), entry, {"objective": name, "detector": SCORED_WITH}, last)
    keys = ("tracks", track, *listed[1])
    editor.add_item(keys, entry, after)
    return [("entries", entry), keys], f"--entry {entry}"


def _add_to_study(editor: Editor, spec: Spec, family: str, name: str, track: str) -> Added:
    """A line in the study of the track that lists the methods of the family."""
    of = spec.tracks[track]
    for study, settings in of.studies.chosen(full=True).items():
        if (found := settings.place_for(family, name)) is not None:
            field, value = found
            more = getattr(getattr(of.studies.root[study], "full", None), field, None)
            keys = ("tracks", track, "studies", study, *(("full",) if more else ()), field)
            editor.add_key(keys, name, value)
            seed = (of.studies.root[study].seeds or of.seeds)[0]
            return [(*keys, name)], f"--study {study} {'--full ' if more else ''}--seed {seed}"
    able = [n for n, other in spec.tracks.items() if _has_place(other, family, name)]
    raise UsageError(
        f"--track {track}: no study of it lists {family.replace('_', ' ')}; expected a track that has one: "
        f"{', '.join(able) or 'there is none'}"
    )


def _notes(before: Spec, after: Spec, track: str) -> Iterator[str]:
    """What else the addition changes: tracks that share a list, and studies whose records it outdates."""
    for name, now in after.tracks.items():
        if name != track and now != before.tracks[name]:
            yield f"track {name} has it too: it shares the list"
    for name, now in after.tracks.items():
        for study, settings in before.tracks[name].studies.chosen(full=True).items():
            grown = now.studies.chosen(full=True)[study]
            if any(_measured(settings, row) != _measured(grown, row) for row in settings.rows):
                yield f"study {study} of track {name} is to be measured anew: its records name all of them"


def _measured(study: StudySettings, row: str) -> dict[str, Any]:
    return study.measured_with(row, lambda family, use: use.model_dump())


def _has_place(track: Track, family: str, name: str) -> bool:
    studies = track.studies.chosen(full=True).values()
    return any(study.place_for(family, name) is not None for study in studies)


def _track(spec: Spec, named: str | None) -> str:
    if named is None:
        return USUAL_TRACK if USUAL_TRACK in spec.tracks else next(iter(spec.tracks))
    if named not in spec.tracks:
        raise UsageError(
            f"--track: no track {named!r}; {did_you_mean(named, spec.tracks, 'oodbench list tracks')}"
        )
    return named


def _last(names: Iterable[str], wanted: Callable[[str], bool]) -> str | None:
    return next((name for name in reversed([*names]) if wanted(name)), None)
