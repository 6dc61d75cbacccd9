"""How `oodbench run` keeps jobs from what is not theirs: `--isolate`, `--memory` and `--timeout`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmark.engines.pool import Pool
    from benchmark.engines.worker import Perform

Timeout = Annotated[
    list[str] | None,
    typer.Option(
        "--timeout",
        metavar="[KIND=]TIME",
        help="Stop a job that takes longer, such as 90s, 10m, 2h, 1d or none: it has failed, the others go "
        "on. Of one kind: train=2h; repeat for more. Else 3d for trainings, 1d for what runs a network, 6h "
        "for all others.",
    ),
]
Isolate = Annotated[
    bool,
    typer.Option(
        "--isolate",
        help="Run methods without network, secrets and others' files, in a sandbox where the system has one: "
        "docs/isolation.md.",
    ),
]
RequireSandbox = Annotated[
    bool, typer.Option("--require-sandbox", help="--isolate, and refuse to run where there is no sandbox.")
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Of each isolated job, such as 4G; else the machine's."),
]


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    timeout: Sequence[str] | None
    isolate: bool
    require_sandbox: bool
    memory: str | None
    network: str = ""  # why the run itself has one, though its jobs are to be isolated

    def begin(self) -> Asked:
        """Begin the run anew without network, where jobs are to be isolated.

        Raises
        ------
        UsageError
            If that is required and cannot be had.
        """
        from benchmark.engines.isolation.apart import begin_apart
        from benchmark.errors import UsageError

        why = begin_apart() if self._isolated else None
        if why and self.require_sandbox:
            raise UsageError(f"--require-sandbox: the run itself cannot do without network here ({why})")
        return replace(self, network=why or "")

    def check(self, devices: Sequence[str]) -> None:
        """Refuse what does not fit together, before anything is planned.

        Raises
        ------
        UsageError
            With the option that is wrong.
        """
        from benchmark.engines.isolation.limits import parse_size
        from benchmark.engines.timeouts import Timeouts
        from benchmark.errors import UsageError

        Timeouts.parse(self.timeout or ())
        if self._isolated and devices:
            raise UsageError(
                f"--isolate: jobs of accelerators ({', '.join(devices)}) cannot be isolated; add --device cpu"
            )
        if self.memory is not None:
            if not self._isolated:
                raise UsageError("--memory: only isolated jobs are limited; add --isolate")
            parse_size(self.memory)

    @property
    def _isolated(self) -> bool:
        return self.isolate or self.require_sandbox

    def pool(self, workers: int, devices: Sequence[str]) -> Pool | None:
        """Who does the jobs so; None if nothing is asked for. Says in one line how they are isolated.

        Raises
        ------
        UsageError
            If a sandbox is required and there is none.
        """
        from benchmark.engines.processes import Processes
        from benchmark.engines.timeouts import Timeouts
        from benchmark.engines.worker import perform

        if not self._isolated and not self.timeout:
            return None
        does = self._sandboxed() if self._isolated else perform
        return Processes(workers, devices, does, Timeouts.parse(self.timeout or ()))

    def _sandboxed(self) -> Perform:
        from benchmark.engines.isolation.confinement import strongest
        from benchmark.engines.isolation.isolated import Isolated
        from benchmark.engines.isolation.limits import Limits, memory_of_machine, parse_size, size_said
        from benchmark.errors import UsageError
        from reports.console.terminal import console, say

        confinement, refused = strongest()
        limits = Limits(memory_of_machine() if self.memory is None else parse_size(self.memory))
        bounds = f"at most {size_said(limits.memory)} and {limits.processes} processes a job"
        if confinement.sandbox:
            said = f"isolated by {confinement.title}: no network, a job's own files only, {bounds}"
        elif self.require_sandbox:
            raise UsageError(f"--require-sandbox: there is no sandbox here ({'; '.join(refused)})")
        else:
            said = (
                f"isolated by {confinement.title}: {bounds}; a job can reach the network and all files "
                f"({'; '.join(refused)})"
            )
        if self.network:
            said += f"; the run itself, which imports methods when it plans, has network ({self.network})"
        say(console(stderr=True), said)
        return Isolated(confinement, limits)
