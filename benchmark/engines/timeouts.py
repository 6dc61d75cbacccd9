"""How long a job may take before it counts as one that hangs, by its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.engines.pool import Group
from benchmark.errors import UsageError
from benchmark.jobs.job import NETWORKS, Kind

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_UNITS = {"s": 1.0, "m": _MINUTE, "h": _HOUR, "d": _DAY}
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_NEVER = "none"
EXPECTED = f"a time such as 90s, 10m, 2h or 1d, or {_NEVER}"

# Generous: what is stopped is to hang, and not to be slow.
_TRAININGS, _PASSES, _OTHERS = 3 * _DAY, _DAY, 6 * _HOUR
DEFAULTS: Mapping[Kind, float | None] = {
    kind: _TRAININGS if kind in (Kind.PRETRAIN, Kind.TRAIN) else _PASSES if kind in NETWORKS else _OTHERS
    for kind in Kind
}


@dataclass(frozen=True)
class Timeouts:
    """Seconds that a job of each kind may take; None: as long as it likes."""

    of_kind: Mapping[Kind, float | None] = field(default_factory=lambda: DEFAULTS)

    def seconds(self, group: Group) -> float | None:
        """What a group may take: as much as one of its jobs, which are tried alone if that is too little."""
        return self.of_kind[group[0].kind]

    @classmethod
    def parse(cls, said: Sequence[str]) -> Timeouts:
        """Read ``TIME``, of all jobs, and ``KIND=TIME``, of one kind; of several the last counts.

        Raises
        ------
        UsageError
            If one is neither.
        """
        found = dict(DEFAULTS)
        for one in said:
            kind, equals, time = one.rpartition("=")
            if equals and kind not in set(Kind):
                raise UsageError(
                    f"--timeout: {one!r} is of no kind of job; expected one of {', '.join(Kind)}, as in "
                    f"{Kind.TRAIN}={time or '2h'}"
                )
            found |= dict.fromkeys([Kind(kind)] if equals else Kind, _seconds(time, one))
        return cls(found)


def duration(seconds: float) -> str:
    """A time as people say it: ``90 s``, ``10 min``, ``2 h``, ``3 days``."""
    for size, name in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:.3g} {'day' if seconds == _DAY else name}"
    return f"{seconds:.3g} s"


def _seconds(time: str, said: str) -> float | None:
    if time == _NEVER:
        return None
    match = _TIME.fullmatch(time)
    if match is None or float(match[1]) == 0:
        raise UsageError(f"--timeout: got {said!r}; expected {EXPECTED}")
    return float(match[1]) * _UNITS[match[2]]
