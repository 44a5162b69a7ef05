"""The documents: generated pages are up to date, links lead somewhere, code blocks and examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.docs import PAGES
from webinfer.core.errors import BrowserNotFound

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.py"))

NOT_RUN = "<!-- not run -->"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def blocks(document: Path) -> Iterator[str]:
    """Yield the Python blocks that are to be run, each padded so that tracebacks show the document's own lines."""
    text = document.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        before = text[: match.start()]
        if match[1] == "python" and not before.rstrip().endswith(NOT_RUN):
            yield "\n" * (before.count("\n") + 1) + match[2]


def run(document: Path) -> None:
    """Run a document's blocks from the top, as a reader would, in one namespace."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(document):
        exec(compile(block, str(document), "exec"), namespace)


def id_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name]().rstrip() + "\n", "run `make docs`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=id_of)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", [path for path in DOCUMENTS if any(blocks(path))], ids=id_of)
def test_code_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        run(document)
    except BrowserNotFound as error:
        pytest.skip(str(error))


@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", EXAMPLES, ids=id_of)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False)
    if BrowserNotFound.__name__ in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
