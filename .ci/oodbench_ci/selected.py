"""Which entries records are asked of: those that a track lists and has none of, or those that are named.

So a run that was cancelled or has failed is made up for by the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from benchmark.errors import UsageError
from oodbench_ci.additions import FILE, NAME, read_leaderboard
from oodbench_ci.objects import Objects
from oodbench_ci.verdict import Verdict


def selected(objects: Objects, commit: str, computed: Collection[str], named: Sequence[str] = ()) -> Verdict:
    """The entries to be computed, on the tracks that CI computes and that list them.

    Parameters
    ----------
    commit : whose leaderboard and records count.
    named : compute these, whether or not there are records of them.

    Raises
    ------
    UsageError
        If a name is none, or no track that CI computes lists it.
    """
    commit = objects.commit(commit)
    tree = read_leaderboard(objects.read(commit, FILE))
    there = {*objects.files(commit, "results")}
    tracks: set[str] = set()
    found: dict[str, bool] = {}  # by entry, whether it is of full runs
    for track in sorted(computed):
        for which in ("entries", "full"):
            for entry in _listed(tree, track, which):
                asked = entry in named if named else f"results/{track}/{entry}.json" not in there
                if asked and NAME.fullmatch(entry):
                    tracks.add(track)
                    found[entry] = found.get(entry, False) or which == "full"
    for name in named:
        if name not in found:
            listed = ", ".join(sorted(computed))
            raise UsageError(f"{name!r:.80}: no entry of a track that CI computes ({listed}); expected one")
    return Verdict(
        kind="method",
        base="",
        head=commit,
        entries=tuple(found),
        tracks=tuple(sorted(tracks)),
        full=any(found.values()),
    )


def _listed(tree: object, track: str, which: str) -> list[str]:
    """The entries that a track lists, or those of its full runs."""
    tracks = tree.get("tracks") if isinstance(tree, dict) else None
    of = tracks.get(track) if isinstance(tracks, dict) else None
    part = of.get(which) if isinstance(of, dict) else None
    listed = part.get("entries") if isinstance(part, dict) else part
    return [entry for entry in listed if isinstance(entry, str)] if isinstance(listed, list) else []
