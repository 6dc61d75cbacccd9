"""How many of a row's records somebody computed again: verified, partly verified, or self-reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmark.verify.ledger import Verification

Word = Literal["verified", "partly verified", "self-reported"]


@dataclass(frozen=True)
class Verified:
    """Of so many records of a row, how many were computed again and stood, as they are now."""

    n: int = 0
    of: int = 0  # 0: of no records of its own

    @property
    def word(self) -> Word | None:
        """What the row may call itself; None where it has no records of its own."""
        if not self.of:
            return None
        return "verified" if self.n == self.of else "partly verified" if self.n else "self-reported"

    @property
    def text(self) -> str | None:
        """The word, with the counts where only some were."""
        return f"{self.word} ({self.n} of {self.of})" if self.word == "partly verified" else self.word


def verified_of(verifications: Iterable[Verification | None]) -> Verified:
    """Count records, each by the verification that it stood in, or None."""
    found = [one is not None for one in verifications]
    return Verified(sum(found), len(found))


def last_of(verifications: Iterable[Verification | None]) -> Verification | None:
    """The newest verification of some records; None where none was verified."""
    return max((one for one in verifications if one is not None), key=lambda one: one.date, default=None)
