"""Tables that fold their columns where a terminal is narrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_GAP = 2  # between columns
_SHORT = 9  # letters; a cell of so many is never broken
_FIRST = 24  # letters of the first column that stay on one line, even in a narrow terminal


def table(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> RenderableType:
    """Return a table. If it is too wide, the other columns follow below, with the first column repeated.

    Args:
        columns: The headings.
        rows: The cells of each row.
    """
    return Padding(_Table(columns, rows), (0, 0, 0, 2))


@dataclass(frozen=True)
class _Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]

    # rich calls this with the width that is left, which the table needs to choose its parts.
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        texts = [[column, *(row[number].plain for row in self.rows)] for number, column in enumerate(self.columns)]
        words = [max(len(word) for text in column for word in _words(text)) for column in texts]
        words[0] = min(words[0], _FIRST)
        whole = [max(map(len, column)) for column in texts]
        for part in _parts(words, options.max_width):
            widths = _widths([words[number] for number in part], [whole[number] for number in part], options.max_width)
            laid_out = Table(box=None, padding=(0, _GAP, 0, 0), header_style="label")
            for number, width in zip(part, widths, strict=True):
                laid_out.add_column(self.columns[number], overflow="fold", width=width)
            for row in self.rows:
                laid_out.add_row(*(row[number] for number in part))
            yield laid_out


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns divided into parts that fit. Each part has the first column."""
    parts = [[0]]
    for number in range(1, len(widths)):
        taken = sum(widths[column] + _GAP for column in parts[-1])
        if len(parts[-1]) > 1 and taken + widths[number] + _GAP > room:
            parts.append([0])
        parts[-1].append(number)
    return parts


def _words(text: str) -> list[str]:
    """Return the parts of a cell that stay on one line: words, text in brackets, and short cells as a whole."""
    return [text] if len(text) <= _SHORT else re.findall(r"\([^)]*\)|\S+", text)


def _widths(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns: at least their words, then whole texts as far as the room allows."""
    widths = list(least)
    # The columns that lack least come first, so that as many columns as possible have their whole texts.
    for number in sorted(range(len(widths)), key=lambda number: most[number] - least[number]):
        left = max(0, room - sum(widths) - _GAP * len(widths))
        widths[number] += max(0, min(left, most[number] - widths[number]))
    return widths
