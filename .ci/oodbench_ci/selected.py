"""Which entries a merge asks records of: those added to tracks that CI computes, or those named."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from benchmark.errors import UsageError
from oodbench_ci.additions import FILE, NAME, additions, read_leaderboard
from oodbench_ci.objects import Objects
from oodbench_ci.verdict import Verdict

_NO_COMMIT = re.compile("0+")  # what GitHub says was before the first push of a branch


def selected(
    objects: Objects, before: str, after: str, computed: Collection[str], named: Sequence[str] = ()
) -> Verdict:
    """The entries to be recomputed, on the tracks that CI computes and that list them.

    Parameters
    ----------
    before, after : commits. What the second lists and the first did not is computed, unless some are `named`.

    Raises
    ------
    UsageError
        If a name is none, or no track that CI computes lists it.
    """
    after = objects.commit(after)
    tree = read_leaderboard(objects.read(after, FILE))
    if named:
        plain, full = _by_entry(_lists(tree, "entries"), computed), _by_entry(_lists(tree, "full"), computed)
    elif not before or _NO_COMMIT.fullmatch(before):
        plain, full = {}, {}
    else:
        before = objects.commit(before)
        found = additions(read_leaderboard(objects.read(before, FILE)), tree)
        plain, full = _by_entry(found.tracks, computed), _by_entry(found.full, computed)
    entries = list(dict.fromkeys(named or [*plain, *full]))
    for name in entries:
        if NAME.fullmatch(name) is None or (name not in plain and name not in full):
            listed = ", ".join(sorted(computed))
            raise UsageError(f"{name!r:.80}: no entry of a track that CI computes ({listed}); expected one")
    tracks = {track for name in entries for track in (*plain.get(name, ()), *full.get(name, ()))}
    return Verdict(
        kind="method",
        base="" if named else before,
        head=after,
        entries=tuple(entries),
        tracks=tuple(sorted(tracks)),
        full=any(name in full for name in entries),
    )


def _by_entry(lists: dict[str, list[str]], computed: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for track, names in lists.items():
        for name in names if track in computed else ():
            found.setdefault(name, []).append(track)
    return found


def _lists(tree: object, which: str) -> dict[str, list[str]]:
    """The entries that each track lists, or those of its full runs."""
    tracks = tree.get("tracks") if isinstance(tree, dict) else None
    found = {}
    for name, track in tracks.items() if isinstance(tracks, dict) else ():
        part = track if which == "entries" else track.get(which) if isinstance(track, dict) else None
        listed = part.get("entries") if isinstance(part, dict) else None
        found[str(name)] = [entry for entry in listed or () if isinstance(entry, str)]
    return found
