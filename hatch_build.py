"""Refuse to build a distribution that lacks the built page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path("src", "webinfer", "_web")
PAGE = ("index.html", "assets/page.js", "assets/lane.js", "report/report.html", "report/report.js", "runtime")


class PageCheck(BuildHookInterface):  # type: ignore[type-arg]
    """Check that the page is there before a wheel or source distribution is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Stop the build where the page is missing; an editable install may come before the page.

        Raises:
            FileNotFoundError: Parts of the built page are missing.
        """
        if version == "editable":
            return
        missing = [part for part in PAGE if not (Path(self.root) / WEB / part).exists()]
        if missing:
            raise FileNotFoundError(
                f"The built page is incomplete: {WEB.as_posix()} lacks {', '.join(missing)}. "
                "Run `make web` (it needs Python, make and a network, no Node), then build again."
            )
