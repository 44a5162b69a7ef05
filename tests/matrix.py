"""``pytest tests/browser --matrix`` ends with a table: what passed in which browser on which backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

BROWSERS = ("embedded", "chromium", "firefox", "webkit")
BACKENDS = ("wasm", "webnn", "webgpu")
OTHER = "not named"  # tests that take the backend that comes, or several
PROPERTY = "place"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--matrix", action="store_true", help="tell what passed by browser and backend")


def note_place(item: pytest.Item) -> None:
    """Note on a browser test where it runs: by its parameters and fixtures, else in the embedded browser."""
    values = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
    words = [word for value in values for word in (value if isinstance(value, tuple) else (value,))]
    browser = next((word for word in words if isinstance(word, str) and word in BROWSERS), "embedded")
    backend = next((word for word in words if isinstance(word, str) and word in BACKENDS), OTHER)
    item.user_properties.append((PROPERTY, f"{browser} {backend}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if config.getoption("--matrix"):
        terminalreporter.section("passed, by browser and backend")
        for line in table(terminalreporter.stats):
            terminalreporter.write_line(line)


def table(stats: dict[str, list[pytest.TestReport]]) -> list[str]:
    """Make the lines of the table from reports by outcome: passed, and failed or skipped where there are any."""
    counts = {outcome: Counter(_places(stats.get(outcome, ()))) for outcome in ("passed", "failed", "skipped")}
    rows = [["", *BACKENDS, OTHER, "all"]]
    for browser in BROWSERS:
        places = [f"{browser} {backend}" for backend in (*BACKENDS, OTHER)]
        rows.append([browser, *(_cell(counts, [place]) for place in places), _cell(counts, places)])
    return [f"{row[0]:10}" + "".join(f"{cell:>18}" for cell in row[1:]) for row in rows]


def _places(reports: Iterable[pytest.TestReport]) -> Iterable[str]:
    for report in reports:
        for name, place in getattr(report, "user_properties", ()):
            if name == PROPERTY:
                yield str(place)


def _cell(counts: dict[str, Counter[str]], places: list[str]) -> str:
    passed, failed, skipped = (sum(counts[outcome][place] for place in places) for outcome in counts)
    text = f"{passed}" if passed else "-"
    return text + (f", {failed} failed" if failed else "") + (f", {skipped} skipped" if skipped else "")
