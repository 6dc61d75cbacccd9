"""What was seen of a set of images, counted as they pass: the set's card."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

BROKEN_SHOWN = 20  # broken images that a card names


class Tally:
    """Counts of a set; `card` is JSON at any time, and whole at the end of a pass.

    Parameters
    ----------
    kind : str
        What the images lie in, for people.
    notes : iterable of str
    """

    def __init__(self, kind: str, notes: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.images = 0
        self.broken = 0
        self.labelled = False
        self._classes: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._widths, self._heights = array("L"), array("L")
        self._first: list[dict[str, str]] = []
        self._notes = dict.fromkeys(notes)

    def saw(self, size: tuple[int, int], kinds: tuple[str, ...], of: str | None) -> None:
        """Count an image: its width and height before it is prepared, what it is, and its class."""
        self.images += 1
        self._widths.append(size[0])
        self._heights.append(size[1])
        self._kinds.update(kinds)
        if of is not None:
            self._classes[of] += 1

    def lost(self, name: str, reason: str) -> None:
        """Count an image that is broken."""
        self.broken += 1
        if len(self._first) < BROKEN_SHOWN:
            self._first.append({"name": name, "reason": reason})

    def note(self, text: str) -> None:
        """Say something of the set, once."""
        self._notes[text] = None

    @property
    def classes(self) -> int:
        """How many classes were seen."""
        return len(self._classes)

    def reasons(self, most: int = 3) -> str:
        """The first broken images, for a message."""
        return "; ".join(f"{one['name']}: {one['reason']}" for one in self._first[:most])

    @property
    def card(self) -> dict[str, Any]:
        """See `ImageSource.card`."""
        return {
            "n": self.images,
            "from": self.kind,
            "labelled": self.labelled,
            "by_class": dict(sorted(self._classes.items())),
            "sizes": {"width": _spread(self._widths), "height": _spread(self._heights)}
            if self.images
            else None,
            "kinds": dict(self._kinds.most_common()),
            "broken": {"count": self.broken, "first": list(self._first)},
            "notes": list(self._notes),
        }


def _spread(lengths: array[int]) -> dict[str, float]:
    values = np.asarray(lengths)
    return {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}
