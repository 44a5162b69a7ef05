"""The atlas as a page to look things up in: one file that needs no other."""

from __future__ import annotations

from importlib import resources
from typing import Any

from webinfer.accuracy.atlas.rows import OUTCOMES, Atlas
from webinfer.core.json import dumps

_LETTERS = {outcome: outcome[0] for outcome in OUTCOMES} | {"refused": "x"}


def render(atlas: Atlas) -> str:
    """Return an atlas as HTML.

    Args:
        atlas: The rows.

    Returns:
        One self-contained page with filters, in light or dark as the reader's system is.
    """
    template = resources.files("webinfer.accuracy.atlas").joinpath("page.html").read_text(encoding="utf-8")
    data = dumps(_data(atlas)).replace("<", "\\u003c")  # so that no text of the data ends its element
    before, _, after = template.partition("{{atlas}}")
    return "".join((before, data, after))


def _data(atlas: Atlas) -> dict[str, Any]:
    cases = sorted(atlas.cases.values(), key=lambda case: (case.facts.operator.lower(), case.name))
    surveys = sorted(atlas.surveys.values(), key=lambda survey: survey.ground.key)
    return {
        "cases": [
            {
                "name": case.name,
                "operator": case.facts.operator,
                "domain": case.facts.domain,
                "opset": case.facts.opset,
                "dtypes": ", ".join(dtype or "none" for dtype in case.facts.dtypes),
                "attributes": case.facts.attributes,
                "inputs": case.facts.traits.get("inputs", ""),
            }
            for case in cases
        ],
        "surveys": [
            {
                **survey.ground.to_dict(),
                "name": survey.ground.name,
                "verdicts": "".join(
                    _LETTERS[verdict.outcome] if (verdict := survey.verdicts.get(case.key)) else "." for case in cases
                ),
                "notes": {
                    number: verdict.note
                    for number, case in enumerate(cases)
                    if (verdict := survey.verdicts.get(case.key)) and verdict.note
                },
            }
            for survey in surveys
        ],
    }
