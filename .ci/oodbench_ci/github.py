"""What is asked of GitHub, through its command line `gh`: what it answers about strangers is data."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.errors import OodbenchError

SECONDS = 120
BOT = "github-actions[bot]"  # who writes what the token of a workflow writes
PER_PAGE = 100
MOST_PAGES = 30


class GitHubFailed(OodbenchError):  # noqa: N818
    """GitHub, or its command line, refused what was asked."""


@dataclass(frozen=True)
class GitHub:
    """A repository on GitHub, named ``owner/name``."""

    repository: str

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What is at a path below the repository."""
        return json.loads(self.raw(path, query))

    def raw(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The same as bytes."""
        fields = [
            part for name, value in (query or {}).items() for part in ("--raw-field", f"{name}={value}")
        ]
        return self._api("--method", "GET", *fields, f"repos/{self.repository}/{path}")

    def every(self, path: str, query: Mapping[str, str] | None = None) -> list[Any]:
        """All that a path lists, page after page; no more than `MOST_PAGES` of them."""
        found: list[Any] = []
        for page in range(1, MOST_PAGES + 1):
            more = self.get(path, {**(query or {}), "per_page": str(PER_PAGE), "page": str(page)})
            found += more
            if len(more) < PER_PAGE:
                break
        return found

    def send(self, method: str, path: str, said: Mapping[str, Any]) -> Any:
        """Send JSON to a path below the repository; what is answered."""
        body = json.dumps(said).encode()
        answer = self._api("--method", method, "--input", "-", f"repos/{self.repository}/{path}", given=body)
        return json.loads(answer or b"null")

    def _api(self, *arguments: str, given: bytes = b"") -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - no shell
                ["gh", "api", *arguments],  # noqa: S607
                capture_output=True, timeout=SECONDS, check=False, input=given,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitHubFailed(f"gh api {arguments[-1]}: {error}") from error
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise GitHubFailed(f"gh api {arguments[-1]}: {told or f'exit code {done.returncode}'}")
        return done.stdout
