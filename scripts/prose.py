"""Find the sentences of a Markdown document, so that a test can hold them to a length.

Code, tables of figures, links' targets and HTML comments are no prose. A cell of a table and an item of a list end a
sentence, and so does a full stop, a question mark or an exclamation mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

FENCE = re.compile(r"^(\s*)(```+|~~~+).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
REFERENCE = re.compile(r"^:::.*(?:\n {4}.*)*", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+(?:\n[^`\n]+)?`")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
END = re.compile(r"(?<=[.!?])[*_)\"”]*\s+(?=[^a-z\s])")


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield the sentences of a document.

    Args:
        text: The document, in Markdown.

    Yields:
        The line that the sentence's paragraph begins on, and the sentence, with ``Code`` in place of code.
    """
    for pattern in (FENCE, COMMENT, REFERENCE):
        text = pattern.sub(lambda match: "\n" * match[0].count("\n"), text)
    text = CODE.sub(lambda match: "Code" + "\n" * match[0].count("\n"), text)
    text = LINK.sub(lambda match: match[1], text)
    for line, paragraph in _paragraphs(text):
        for sentence in END.split(paragraph):
            if words(sentence):
                yield line, sentence.strip()


def words(sentence: str) -> int:
    """Count a sentence's words: what spaces separate and a letter or digit is in."""
    return sum(any(character.isalnum() for character in word) for word in sentence.split())


def long_sentences(document: Path, limit: int) -> list[str]:
    """Return the sentences of a document that have more words than ``limit``, with their lines and numbers of words."""
    return [
        f"{document.name}:{line}: {words(sentence)} words: {sentence}"
        for line, sentence in sentences(document.read_text(encoding="utf-8"))
        if words(sentence) > limit
    ]


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield paragraphs, list items, headings and cells of tables, each as one line of text."""
    start, lines = 0, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        stands_alone = line.lstrip().startswith(("|", "#"))
        if lines and (not line.strip() or stands_alone or ITEM.match(line)):
            yield start, " ".join(lines)
            lines = []
        if stands_alone:
            yield from ((number, cell) for cell in line.strip().strip("|#").split("|"))
        elif line.strip():
            start = start if lines else number
            lines.append(ITEM.sub("", line).strip().lstrip("> "))
