"""Whether the atlas knows of a model's nodes: which run, fall back, are wrong, or end their lane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from webinfer.accuracy.atlas.rows import BAD, OUTCOMES, Atlas, AtlasRow, Ground, NodeFacts, Outcome, Survey
from webinfer.core.options import Backend

Standing = Literal["right", "fallback", "wrong", "refused", "kills", "mixed", "unknown"]
"""As an outcome; ``mixed`` where rows that fit the node disagree, ``unknown`` where none fits."""


@dataclass(frozen=True, slots=True)
class AtlasPlace:
    """Where a model is to run.

    Attributes:
        engine: The browser's engine.
        engine_version: Its version.
        runtime: Name, version and bundle of the runtime; empty where no lane has told it yet.
        backend: The backend.
        adapter: The WebGPU adapter; empty where it is none or not known.
    """

    engine: str
    engine_version: str
    runtime: str
    backend: Backend
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class NodeFinding:
    """What the atlas says of a node.

    Attributes:
        node: The node's name, or its first output's where it has none.
        facts: The node.
        standing: What the rows that fit it say.
        rows: Those rows; bad ones first.
    """

    node: str
    facts: NodeFacts
    standing: Standing
    rows: tuple[AtlasRow, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether the backend is known to be wrong for the node, or to end its lane."""
        return self.standing in BAD

    def quote(self) -> str:
        """Return the node and the row that speaks against it, in a sentence."""
        return f"{self.facts.operator} {self.node!r}: the atlas says that {self.rows[0]}"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "node": self.node,
            "operator": self.facts.operator,
            "domain": self.facts.domain,
            "opset": self.facts.opset,
            "attributes": dict(self.facts.attributes),
            "standing": self.standing,
            "rows": [
                {"case": row.case.name, "outcome": row.verdict.outcome, "note": row.verdict.note} for row in self.rows
            ],
        }


class Chart:
    """The rows of an atlas that hold for one place, by operator.

    Rows hold for another version of the same engine with the same first number, and for the same version of the
    runtime. Of several surveys, the one with the place's own version and adapter wins for each case.

    Args:
        atlas: The atlas.
        place: Where models are to run.
    """

    def __init__(self, atlas: Atlas, place: AtlasPlace) -> None:
        self.place = place
        chosen: dict[tuple[Any, ...], AtlasRow] = {}
        for survey in sorted(_fitting(atlas, place), key=lambda survey: _nearness(survey.ground, place)):
            for key, verdict in survey.verdicts.items():
                chosen[key] = AtlasRow(atlas.cases[key], survey.ground, verdict)  # a nearer survey comes later
        self._rows: dict[tuple[str, str], list[AtlasRow]] = {}
        for row in chosen.values():
            if row.case.facts.traits and "values" not in row.case.facts.traits:
                self._rows.setdefault((row.case.facts.domain, row.case.facts.operator), []).append(row)

    @property
    def empty(self) -> bool:
        """Whether nothing is known of this place."""
        return not self._rows

    def suspects(self) -> frozenset[tuple[str, str]]:
        """Return the operators, by domain and name, that have a row that is wrong or ends its lane."""
        bad = (key for key, rows in self._rows.items() if any(row.verdict.outcome in BAD for row in rows))
        return frozenset(bad)

    def right(self, facts: NodeFacts) -> list[AtlasRow]:
        """Return the rows of a node's operator that are right.

        Args:
            facts: The node.
        """
        rows = self._rows.get((facts.domain, facts.operator), ())
        return [row for row in rows if row.verdict.outcome == "right"]

    def look_up(self, node: str, facts: NodeFacts) -> NodeFinding:
        """Return what is known of a node.

        Args:
            node: Its name.
            facts: What decides on it.
        """
        rows = [row for row in self._rows.get((facts.domain, facts.operator), ()) if _fits(row.case.facts, facts)]
        rows = _without_luck(_nearest(rows, facts.opset))
        outcomes = {row.verdict.outcome for row in rows}
        rows.sort(key=lambda row: -OUTCOMES.index(row.verdict.outcome))
        return NodeFinding(node, facts, _standing(outcomes), tuple(rows))


def _fitting(atlas: Atlas, place: AtlasPlace) -> Iterable[Survey]:
    release = place.engine_version.partition(".")[0]
    for survey in atlas.surveys.values():
        ground = survey.ground
        alike = (ground.engine, ground.release, ground.backend) == (place.engine, release, place.backend)
        if alike and (not place.runtime or ground.runtime == place.runtime):
            yield survey


def _nearness(ground: Ground, place: AtlasPlace) -> tuple[bool, bool, str]:
    return ground.engine_version == place.engine_version, ground.adapter == place.adapter, ground.at


def _fits(row: NodeFacts, node: NodeFacts) -> bool:
    """Return whether a row's case is the like of a node: types and traits are the same as far as they are known."""
    if len(row.dtypes) != len(node.dtypes):
        return False
    if any(one and other and one != other for one, other in zip(row.dtypes, node.dtypes, strict=True)):
        return False
    return not any(_differs(name, trait, node.traits) for name, trait in row.traits.items()) and not (
        _attributes(node.traits) - _attributes(row.traits)
    )


def _differs(name: str, trait: str, traits: Mapping[str, str]) -> bool:
    """Return whether a trait of a row speaks against a node; attributes are always known, shapes may not be."""
    if name not in traits:
        return name.startswith("@") and name not in _OPEN
    return traits[name] != trait


_OPEN = frozenset({"@axis", "@axes"})  # attributes whose trait takes a known rank


def _attributes(traits: Mapping[str, str]) -> set[str]:
    return {name for name in traits if name.startswith("@") and name not in _OPEN}


def _nearest(rows: Sequence[AtlasRow], opset: int) -> list[AtlasRow]:
    """Return the rows of the nearest version of the operator: providers seldom tell versions apart."""
    distance = min((abs(row.case.facts.opset - opset) for row in rows), default=0)
    return [row for row in rows if abs(row.case.facts.opset - opset) == distance]


def _without_luck(rows: Sequence[AtlasRow]) -> list[AtlasRow]:
    """Return rows without those that a bad row with the same node contradicts: there values decide, as ties do."""
    bad = [row.case.facts for row in rows if row.verdict.outcome in BAD]
    return [row for row in rows if row.verdict.outcome in BAD or row.case.facts not in bad]


def _standing(outcomes: set[Outcome]) -> Standing:
    if not outcomes:
        return "unknown"
    if outcomes <= BAD:
        return "kills" if "kills" in outcomes else "wrong"
    if outcomes & BAD or (len(outcomes) > 1 and "refused" in outcomes):
        return "mixed"
    return next(outcome for outcome in ("refused", "fallback", "right") if outcome in outcomes)
