"""The documents: pages are up to date, links lead somewhere, sentences are short, code blocks run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

import webinfer
from scripts.docs import PAGES, build
from scripts.docs_pictures import PICTURES
from scripts.prose import long_sentences
from webinfer.core.errors import BrowserNotFound

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OTHERS = {"THIRD_PARTY_NOTICES.md"}  # other people's words

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


ROOMS = "|".join(path.name for path in (ROOT / "src" / "webinfer").iterdir() if path.is_dir() and path.name[0] != "_")
PLACE = re.compile(rf"`((?:(?:src|web|tests|scripts|benchmarks|fixtures|docs)/|(?:{ROOMS})/)[\w./-]+)`")
WORDS = 32  # of a sentence, at most; STYLE: one thought, 25 words


class Site(HTMLParser):
    """What one built page loads, links to, and may be linked to by."""

    LOADING = frozenset({("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")})

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in self.LOADING and dict(attrs).get("rel") != "canonical":
                self.loaded.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name == "id":
                self.anchors.add(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = build(target)
    assert built.returncode == 0, built.stdout + built.stderr
    return target


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Site]:
    return {page: Site(page) for page in site.rglob("*.html")}


def is_external(address: str) -> bool:
    return re.match(r"(?:\w+:)?//|mailto:", address) is not None


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name]().rstrip() + "\n", "run `make docs`"


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_picture_is_up_to_date(name: str) -> None:
    drawn = (ROOT / "docs" / "images" / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn == str(PICTURES[name]()), "run `python scripts/docs_pictures.py`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=id_of)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=id_of)
def test_files_and_folders_that_are_named_exist(document: Path) -> None:
    named = set(PLACE.findall(FENCE.sub("", document.read_text(encoding="utf-8"))))
    assert [
        name for name in sorted(named) if not ((ROOT / name).exists() or (ROOT / "src/webinfer" / name).exists())
    ] == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if id_of(path) not in OTHERS], ids=id_of)
def test_sentences_are_short(document: Path) -> None:
    assert long_sentences(document, WORDS) == []


def test_links_of_the_site_lead_to_a_page_and_an_anchor(pages: dict[Path, Site]) -> None:
    astray = []
    for page, content in pages.items():
        for link in content.links:
            address, anchor = urldefrag(unquote(link))
            target = (page.parent / address).resolve() if address else page
            if page.name == "404.html" or is_external(link) or (target.is_dir() and not anchor):
                continue
            if not target.exists() or (anchor and target.suffix == ".html" and anchor not in pages[target].anchors):
                astray.append(f"{page.name}: {link}")
    assert astray == []


def test_site_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Site]) -> None:
    assert [loaded for content in pages.values() for loaded in content.loaded if is_external(loaded)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert [
        address for address in re.findall(r"(?:url\(|@import )[\"']?([^)\"';]*)", styles) if is_external(address)
    ] == []


def test_site_shows_every_public_name(pages: dict[Path, Site]) -> None:
    shown = {anchor for content in pages.values() for anchor in content.anchors}
    names = [name for name in webinfer.__all__ if not name.startswith("__")]
    homes = {name: getattr(webinfer, name) for name in names}
    assert [name for name, value in homes.items() if f"{value.__module__}.{value.__qualname__}" not in shown] == []


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", [path for path in DOCUMENTS if any(blocks(path))], ids=id_of)
def test_code_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        run(document)
    except BrowserNotFound as error:
        pytest.skip(str(error))
