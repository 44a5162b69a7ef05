"""A report as a page: one file that needs nothing else, made of a template, a script and the findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webinfer.core.errors import OptionError
from webinfer.core.json import dumps

_PARTS = Path(__file__).parents[2] / "_web" / "report"


def render(findings: Mapping[str, Any]) -> str:
    """Write findings as a page.

    Args:
        findings: What ``gather`` returned.

    Returns:
        HTML, in one file.

    Raises:
        OptionError: The page's parts were not built.
    """
    try:
        template = (_PARTS / "report.html").read_text(encoding="utf-8")
        script = (_PARTS / "report.js").read_text(encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{_PARTS} lacks the report's page: run `make web`.", option="format") from error
    before, _, rest = template.partition("{{findings}}")
    between, _, after = rest.partition('"{{script}}";')
    # No text of the data or the script may end the element that it is in.
    data = dumps(findings).replace("<", "\\u003c")
    return "".join((before, data, between, script.replace("</script", "<\\/script"), after))
