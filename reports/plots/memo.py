"""Which plots of a site are drawn already: those whose content and code are the same as when it was built.

Drawing takes most of a build. The plots lie in the site; beside them stands what each group of them was made
of, as a hash. Both can be deleted: what is not there, or was changed, is drawn again. This module must not
know what a plot shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from benchmark.store.files import write_atomically
from benchmark.store.fingerprints import code_fingerprint, definition_of, library_versions
from reports.site.manifest import checksum
from reports.site.sections import Plot
from reports.site.text import checked_path

DRAWN = "drawn.json"
PLOTS = "plots"  # the folder of the plots


class Memo:
    """The plots of a site by what they were made of.

    Parameters
    ----------
    site : the folder of the site; None: every plot is drawn, and nothing is kept.
    """

    def __init__(self, site: Path | None = None) -> None:
        self._site = site
        self._known: Mapping[str, Any] = {} if site is None else _read(site / DRAWN)
        self.used: dict[str, list[dict[str, Any]]] = {}  # what the plots that were asked for are made of

    def plots(self, draw: Callable[..., list[Plot]], *given: object, of: object) -> list[Plot]:
        """`draw(*given)`, or the same plots as they lie in the site.

        Parameters
        ----------
        of : all that `draw` reads of `given`: models, dataclasses, mappings, texts and numbers.
        """
        if self._site is None:
            return draw(*given)
        made_by = code_fingerprint(definition_of(draw)), library_versions("matplotlib", "numpy", "scipy")
        key = checksum(to_json([made_by, of], inf_nan_mode="constants", fallback=_plain))
        plots = _there(self._site, self._known.get(key))
        if plots is None:
            plots = draw(*given)
        self.used[key] = [{**asdict(p), "svg": checksum(p.svg.encode())} for p in plots]
        return plots

    def keep(self) -> None:
        """Keep in the site what its plots are made of, now that they lie there."""
        if self._site is not None:
            write_atomically(self._site / DRAWN, json.dumps(self.used, indent=1))


def _read(path: Path) -> Mapping[str, Any]:
    """What was drawn; nothing if that is not there, or damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _there(site: Path, group: Sequence[Mapping[str, Any]] | None) -> list[Plot] | None:
    """The plots of a group; None unless all are there as they were drawn."""
    try:
        return None if group is None else [Plot(**{**said, "svg": _svg(site, said)}) for said in group]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _svg(site: Path, said: Mapping[str, Any]) -> str:
    data: bytes = (site / PLOTS / checked_path(said["file"])).read_bytes()
    if checksum(data) != said["svg"]:
        raise ValueError(f"{said['file']}: was changed since it was drawn")
    return data.decode()


def _plain(value: Any) -> Any:
    """What JSON has no form for: other mappings, and sets, in an order of their own."""
    return dict(value) if isinstance(value, Mapping) else sorted(value)
