"""The summary of a step is a file that GitHub names."""

from __future__ import annotations

from pathlib import Path

import pytest

from webinfer.bench.report.summary import SUMMARY, append_summary
from webinfer.core.errors import BenchmarkError


def test_the_summary_goes_where_github_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUMMARY, str(tmp_path / "summary.md"))
    append_summary("# One")
    append_summary("# Two")
    assert (tmp_path / "summary.md").read_text() == "# One\n# Two\n"
    monkeypatch.delenv(SUMMARY)
    with pytest.raises(BenchmarkError, match=SUMMARY):
        append_summary("# Three")
