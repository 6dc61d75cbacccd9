"""What leaderboard.yaml says of adversarial examples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from benchmark.records.record import Record
from benchmark.spec.base import Count, Distinct, Name, SpecModel
from benchmark.studies.same import other_use
from benchmark.studies.settings import Configured, Declares, MethodUse, Networks, OfNetworks, Share


class _MoreNetworks(SpecModel):
    networks: Networks


class DetectorAttack(SpecModel):
    """PGD on a detector's score."""

    epsilon: Share = 8 / 255
    steps: Count = 10
    step_size: Annotated[float, Field(gt=0, le=1)] = 2 / 255


class Transfer(SpecModel):
    """Adversarial examples that were made on another network: of the same init and the next seed."""

    source: Name = Field(description="the objective of the network that they are made on")
    to: Distinct[Name] = Field(description="the objectives whose networks they are tried on")


class Adversarial(OfNetworks):
    """Robust accuracy under attacks, and OOD detection when the detector itself is attacked."""

    told: ClassVar = frozenset(
        {"detectors", "images_per_class", "curves", "epsilons", "steps", "detector_attack", "ood_images"}
    )

    full: _MoreNetworks | None = None
    images_per_class: Count = Field(description="at most so many test images of each class are attacked")
    attacks: dict[Name, MethodUse] = Field(min_length=1, description="`oodbench list attacks`")
    curves: Name = Field(description="the attack whose strength and steps the curves vary")
    epsilons: Distinct[Share] = Field(description="of the curve over strength")
    steps: Distinct[Count] = Field(description="of the curve over steps")
    transfer: Transfer | None = None
    detectors: Distinct[Name] = Field(description="that are attacked, each on all OOD sets")
    detector_attack: DetectorAttack = DetectorAttack()
    ood_images: Count = Field(100, description="how many of each OOD set are attacked")

    @model_validator(mode="after")
    def _curves_of_an_attack(self) -> Self:
        if self.curves not in self.attacks:
            raise ValueError(f"curves: {self.curves!r} is none of the attacks")
        return self

    @model_validator(mode="after")
    def _transfer_to_its_rows(self) -> Self:
        rows = self.on_full().rows
        for row in self.transfer.to if self.transfer else ():
            if row not in rows:
                raise ValueError(f"transfer: to: {row!r} is none of the networks; expected one of {rows}")
        return self

    def source_for(self, row: str) -> str | None:
        """The objective on whose networks further examples for a row are made."""
        return None if self.transfer is None or row not in self.transfer.to else self.transfer.source

    def measured_with(self, row: str, configured: Configured) -> dict[str, Any]:
        """The attacks with all of their hyper-parameters, and whose examples are tried as well."""
        found = super().measured_with(row, configured)
        found["attacks"] = {name: configured("attacks", use) for name, use in self.attacks.items()}
        source = self.source_for(row)
        return found if source is None else {**found, "transfer": source}

    def differs(
        self, row: str, expected: Mapping[str, Any], record: Record, declared: Declares
    ) -> Iterator[str]:
        """Attacks without what their defaults say; all else as it is."""
        attacks, found = expected["attacks"], record.settings.get("attacks")
        if isinstance(found, Mapping) and found.keys() == attacks.keys():
            if any(
                other_use(use, found[n], declared("attacks", use["method"])) for n, use in attacks.items()
            ):
                yield "attacks"
            expected = {**expected, "attacks": found}
        transfer = expected.get("transfer")
        yield from super().differs(row, {**expected, "transfer": transfer}, record, declared)

    def used(self, family: str) -> Collection[str]:
        """Its attacks, and the detectors that are attacked."""
        return {use.method for use in self.attacks.values()} if family == "attacks" else super().used(family)

    def place_for(self, family: str, name: str) -> tuple[str, dict[str, Any]] | None:
        """Attacks are listed."""
        return ("attacks", {"method": name}) if family == "attacks" else None


SETTINGS = Adversarial
