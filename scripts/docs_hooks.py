"""Hooks of the documentation site: pages from the repository's root, public names where they live, drawings inline.

MkDocs calls the functions whose names begin with ``on_``; mkdocs.yml names this file.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
NAME = re.compile(r"^::: (webinfer[\w.]*)\.(\w+)$", re.MULTILINE)
ROOT_LINK = re.compile(r"\]\((?:\.\./)*(README|CONTRIBUTING|CHANGELOG)\.md")
ALONE = {"index.md", "tutorial.md"}  # the only pages of their sections
HEADING = re.compile(r"^##+ |^::: ", re.MULTILINE)
DRAWING = re.compile(r'<img alt="[^"]*" src="[^"]*images/(\w+)\.svg" ?/?>')
STYLE = re.compile(r"<style>.*?</style>\n", re.DOTALL)
OTHER_LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)*(?:THIRD_PARTY_NOTICES\.md|LICENSE|NOTICE)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie at the repository's root, with their links as they are inside docs/."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=OTHER_LINK.sub(r"\1", text.replace("](docs/", "]("))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to the root's pages to their place in the site, and name public objects by their modules.

    A list of pages or headings that would be empty is hidden.
    """
    hidden = {"navigation": page.file.src_uri in ALONE, "toc": not HEADING.search(markdown)}
    page.meta["hide"] = [part for part, is_hidden in hidden.items() if is_hidden]
    up = "../" * page.file.src_uri.count("/")
    markdown = ROOT_LINK.sub(lambda match: f"]({up}{PAGES[f'{match[1]}.md']}", markdown)
    return NAME.sub(_locate, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put drawings into the page itself, where they take the colours of the page's scheme."""
    return DRAWING.sub(_inline, html)


def _inline(match: re.Match[str]) -> str:
    drawing = (ROOT / "docs" / "images" / f"{match[1]}.svg").read_text(encoding="utf-8")
    is_drawn = drawing.startswith('<svg class="drawing"')
    return f'<div class="drawing">{STYLE.sub("", drawing)}</div>' if is_drawn else match[0]


def _is_module(package: str, name: str) -> bool:
    is_package = hasattr(importlib.import_module(package), "__path__")
    return is_package and importlib.util.find_spec(f"{package}.{name}") is not None


def _locate(match: re.Match[str]) -> str:
    """Find where a public name is defined: the package's own ``__init__`` imports it only when it is asked for."""
    module, name = match.groups()
    if _is_module(module, name):
        return match[0]
    value: Any = getattr(importlib.import_module(module), name)
    home = getattr(value, "__module__", module)
    path = getattr(value, "__qualname__", name)
    return f"::: {home}.{path}" if home.startswith("webinfer") else match[0]
