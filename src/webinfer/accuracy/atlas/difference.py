"""What a new browser or runtime broke or mended: two atlases, case by case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from webinfer.accuracy.atlas.rows import Atlas, Case, Ground, OperatorVerdict, Survey

Direction = Literal["broke", "mended"]
_RANKS = {"right": 0, "fallback": 1, "refused": 2, "wrong": 3, "kills": 4}


@dataclass(frozen=True, slots=True)
class AtlasChange:
    """A case whose outcome differs.

    Attributes:
        case: The case.
        before: Its verdict in the first atlas.
        after: Its verdict in the second.
    """

    case: Case
    before: OperatorVerdict
    after: OperatorVerdict

    @property
    def direction(self) -> Direction:
        """Whether the second is worse or better: right, fallback, refused, wrong and kills rank in this order."""
        return "broke" if _RANKS[self.after.outcome] > _RANKS[self.before.outcome] else "mended"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "case": self.case.name,
            "operator": self.case.facts.operator,
            "opset": self.case.facts.opset,
            "attributes": dict(self.case.facts.attributes),
            "direction": self.direction,
            "before": {"outcome": self.before.outcome, "note": self.before.note},
            "after": {"outcome": self.after.outcome, "note": self.after.note},
        }


@dataclass(frozen=True, slots=True)
class AtlasDifference:
    """Two surveys of the same backend.

    Attributes:
        before: What ran the first.
        after: What ran the second.
        both: Cases that both have.
        changes: Those whose outcome differs, in the order of their names.
    """

    before: Ground
    after: Ground
    both: int
    changes: tuple[AtlasChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "both": self.both,
            "changes": [change.to_dict() for change in self.changes],
        }


def differences(first: Atlas, second: Atlas) -> list[AtlasDifference]:
    """Compare two atlases. Surveys meet by browser and backend, the newest of each; two single ones always meet.

    Args:
        first: The earlier.
        second: The later.

    Returns:
        A difference for each pair of surveys; empty where no two can be compared.
    """
    if len(first.surveys) == len(second.surveys) == 1:
        pairs = [(next(iter(first.surveys.values())), next(iter(second.surveys.values())))]
    else:
        pairs = list(_pairs(first, second))
    return [_difference(one, other, first) for one, other in pairs]


def _pairs(first: Atlas, second: Atlas) -> Iterator[tuple[Survey, Survey]]:
    ours, theirs = _newest(first), _newest(second)
    for key in sorted(ours.keys() & theirs.keys()):
        yield ours[key], theirs[key]


def _newest(atlas: Atlas) -> dict[tuple[str, str], Survey]:
    newest: dict[tuple[str, str], Survey] = {}
    for survey in sorted(atlas.surveys.values(), key=lambda survey: survey.ground.at):
        newest[survey.ground.browser, survey.ground.backend] = survey
    return newest


def _difference(one: Survey, other: Survey, atlas: Atlas) -> AtlasDifference:
    both = sorted(one.verdicts.keys() & other.verdicts.keys())
    changes = (
        AtlasChange(atlas.cases[key], one.verdicts[key], other.verdicts[key])
        for key in both
        if one.verdicts[key].outcome != other.verdicts[key].outcome
    )
    return AtlasDifference(one.ground, other.ground, len(both), tuple(changes))
