"""The summary of a GitHub Actions step."""

from __future__ import annotations

import os
from pathlib import Path

from webinfer.core.errors import BenchmarkError

SUMMARY = "GITHUB_STEP_SUMMARY"


def append_summary(text: str) -> None:
    """Add Markdown to the summary of the GitHub Actions step that this process runs in.

    Args:
        text: Markdown.

    Raises:
        BenchmarkError: It does not run in a step, or the summary cannot be written.
    """
    path = os.environ.get(SUMMARY)
    if not path:
        raise BenchmarkError(f"--github-summary writes to the file named by {SUMMARY}, which is not set.")
    try:
        with Path(path).open("a", encoding="utf-8", errors="replace") as file:
            file.write(text + "\n")
    except OSError as error:
        raise BenchmarkError(f"The summary {path} cannot be written: {error}.") from error
