"""Write docs/images/demo.svg: what `webinfer demo` prints, from a real run on this machine."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from webinfer import Options
from webinfer.cli.commands.demo import MODEL, demonstrate
from webinfer.cli.output.terminal import THEME, Terminal
from webinfer.cli.views.demo import view

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "demo.svg"
COLUMNS = 100

# rich's own frame fetches a font; a picture in a README may not fetch anything.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Run the demo and draw it."""
    with Terminal().steps() as steps:
        seen = demonstrate(Options(), MODEL, steps)
    console = Console(
        file=io.StringIO(),
        record=True,
        width=COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        theme=THEME,
        highlight=False,
    )
    console.print(view(seen))
    svg = console.export_svg(title="webinfer demo", theme=DIMMED_MONOKAI, code_format=FRAME, unique_id="demo")
    TARGET.write_text(svg + "\n" if not svg.endswith("\n") else svg, encoding="utf-8")
    sys.stderr.write(f"{TARGET.relative_to(TARGET.parent.parent)}\n")


if __name__ == "__main__":
    main()
