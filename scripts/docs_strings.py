"""Docstrings as the site shows them: code blocks as Markdown has them, references written out, pages as links.

Griffe, which reads the source without running it, calls the extension for each object; mkdocs.yml names this file.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import griffe

DOCS = Path(__file__).resolve().parent.parent / "docs"
FOLDERS = ("reference", "how-to", "explanation")
LITERAL = re.compile(r"::\n\n((?:(?: {4}.*)?\n)+)")
PAGE = re.compile(r"(?<![\w/`])docs/((?:[\w-]+/)*)([\w-]+)\.md(#[\w-]+)?")
TITLES = {"cli": "Command line", "index": "The house"}


class Docstrings(griffe.Extension):
    """Rewrite each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Rewrite one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value, obj.path)


def rewrite(text: str, path: str) -> str:
    """Return a docstring as Markdown.

    Args:
        text: The docstring as the source has it.
        path: The object's full name, by which a docstring that only refers to another one is looked up.
    """
    if text.startswith("As ``Async"):
        text = _written_out(path) or text
    text = LITERAL.sub(lambda match: f"\n\n```python\n{textwrap.dedent(match[1]).strip()}\n```\n\n", text + "\n")
    return PAGE.sub(_link, text.replace("``", "`") if "```" not in text else _single(text)).strip()


def _single(text: str) -> str:
    return re.sub(r"(?<!`)``(?!`)", "`", text)


def _link(match: re.Match[str]) -> str:
    name, anchor = match[2], match[3] or ""
    pages = [f"{match[1]}{name}", *(f"{folder}/{name}" for folder in FOLDERS)]
    page = next(page for page in pages if _is_page(page))
    title = TITLES.get(name, name.replace("-", " ").capitalize())
    return f"[{title}](../../{page}.md{anchor})"


def _is_page(page: str) -> bool:
    return (DOCS / f"{page}.md").exists()


def _written_out(path: str) -> str | None:
    module, kind, name = path.rsplit(".", 2)
    return inspect.getdoc(getattr(getattr(importlib.import_module(module), kind), name))
