"""What the atlas holds: cases, surveys, and the verdict of each case in each survey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from webinfer.core.options import Backend

Outcome = Literal["right", "fallback", "wrong", "refused", "kills"]
"""What became of a case: the backend ran it all and rightly; the answer is right and another backend ran a part; the
answer is wrong; the runtime or webinfer refused it with an error; the lane or its browser ended."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
BAD: frozenset[Outcome] = frozenset({"wrong", "kills"})


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node, as far as it decides on whether a backend computes it rightly.

    Attributes:
        operator: Its operator, such as ``Resize``.
        domain: The operator's domain; empty for ONNX's own.
        opset: The version of the domain that last changed the operator, seen from the model's.
        dtypes: Types of its inputs; empty text for inputs that are left out or whose type is not known.
        attributes: The attributes that it states, as people read them.
        traits: What of attributes, shapes and constants is compared with rows; see ``traits``.
    """

    operator: str
    domain: str = ""
    opset: int = 0
    dtypes: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        stated = ", ".join(f"{name}={value}" for name, value in self.attributes.items())
        name = f"{self.domain}:{self.operator}" if self.domain else self.operator
        return f"{name}-{self.opset}" + (f" ({stated})" if stated else "")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was tried.

    Attributes:
        name: Its name; of ONNX's own tests it is theirs.
        facts: Its node. A case of several nodes has no traits, so it says nothing of any model's node.
    """

    name: str
    facts: NodeFacts

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two cases the same one."""
        facts = self.facts
        maps = tuple(sorted(facts.attributes.items())), tuple(sorted(facts.traits.items()))
        return (self.name, facts.operator, facts.domain, facts.opset, facts.dtypes, *maps)


@dataclass(frozen=True, slots=True)
class OperatorVerdict:
    """What became of a case in a survey.

    Attributes:
        outcome: What became of it.
        note: By how much it is wrong, why it was refused, how the lane ended, or which nodes fell back.
    """

    outcome: Outcome
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What ran a survey, and where: the rows' provenance.

    Attributes:
        browser: The browser's name, such as ``embedded``.
        engine: ``chromium``, ``firefox`` or ``webkit``.
        engine_version: The engine's version, as far as the browser tells it.
        runtime: Name, version and bundle of ONNX Runtime Web.
        backend: The backend that was asked for.
        adapter: The WebGPU adapter; empty on other backends.
        machine: Operating system and processor.
        reference: Versions of what the answers were held against.
        webinfer: Version of webinfer.
        at: When the survey began: a date in ISO 8601, in UTC.
    """

    browser: str
    engine: str
    engine_version: str
    runtime: str
    backend: Backend
    adapter: str = ""
    machine: str = ""
    reference: str = ""
    webinfer: str = ""
    at: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two surveys one: a later run of it replaces rows of the earlier."""
        same = (self.browser, self.engine, self.engine_version, self.runtime, self.backend, self.adapter, self.machine)
        return tuple(map(str, same))

    @property
    def release(self) -> str:
        """The first number of the engine's version."""
        return self.engine_version.partition(".")[0]

    @property
    def name(self) -> str:
        """A short name, such as ``embedded-153/webnn``."""
        return f"{self.browser}-{self.release or 'unknown'}/{self.backend}"

    def __str__(self) -> str:
        return f"{self.backend} in {self.engine} {self.engine_version} with {self.runtime}"

    def to_dict(self) -> dict[str, str]:
        """Return it ready for JSON."""
        return asdict(self)


@dataclass(slots=True)
class Survey:
    """The verdicts of one backend in one browser.

    Attributes:
        ground: What ran it, and where.
        verdicts: By the case's key.
    """

    ground: Ground
    verdicts: dict[tuple[Any, ...], OperatorVerdict] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return how many cases came to each outcome."""
        outcomes = [verdict.outcome for verdict in self.verdicts.values()]
        return {outcome: outcomes.count(outcome) for outcome in OUTCOMES}


@dataclass(frozen=True, slots=True)
class AtlasRow:
    """One row of the atlas: a case, on a ground, with its verdict."""

    case: Case
    ground: Ground
    verdict: OperatorVerdict

    def __str__(self) -> str:
        note = f": {self.verdict.note}" if self.verdict.note else ""
        return f"{self.case.name} of {self.case.facts} is {WORDS[self.verdict.outcome]} on {self.ground}{note}"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "case": self.case.name,
            **asdict(self.case.facts),
            **self.ground.to_dict(),
            "outcome": self.verdict.outcome,
            "note": self.verdict.note,
        }


WORDS: Mapping[Outcome, str] = {
    "right": "right",
    "fallback": "right, with a part on another backend",
    "wrong": "wrong",
    "refused": "refused",
    "kills": "the end of its lane",
}
"""Outcomes as they stand in a sentence."""


class Atlas:
    """Cases, and surveys of them."""

    def __init__(self) -> None:
        self.cases: dict[tuple[Any, ...], Case] = {}
        self.surveys: dict[tuple[str, ...], Survey] = {}

    def __repr__(self) -> str:
        return f"<Atlas {len(self.cases)} cases, {len(self.surveys)} surveys>"

    def survey(self, ground: Ground) -> Survey:
        """Return the survey of a ground, begun if there is none.

        Args:
            ground: What runs it, and where.
        """
        return self.surveys.setdefault(ground.key, Survey(ground))

    def add(self, ground: Ground, case: Case, verdict: OperatorVerdict) -> None:
        """Add a row, in place of an earlier one of the same case and ground.

        Args:
            ground: What ran it, and where.
            case: The case.
            verdict: What became of it.
        """
        self.cases.setdefault(case.key, case)
        self.survey(ground).verdicts[case.key] = verdict

    def merge(self, other: Atlas) -> int:
        """Take the rows of another atlas. Of a case that both tried on one ground, the later survey's row stays.

        Args:
            other: The other atlas, which stays as it is.

        Returns:
            How many rows were new or changed.
        """
        changed = 0
        for key, survey in other.surveys.items():
            mine = self.surveys.get(key)
            if mine is None:
                mine = self.surveys[key] = Survey(survey.ground)
            newer = survey.ground.at >= mine.ground.at
            if newer:
                mine.ground = survey.ground
            for case, verdict in survey.verdicts.items():
                if case not in mine.verdicts or (newer and mine.verdicts[case] != verdict):
                    self.cases.setdefault(case, other.cases[case])
                    mine.verdicts[case] = verdict
                    changed += 1
        return changed

    def rows(self) -> Iterator[AtlasRow]:
        """Yield every row, survey by survey."""
        for survey in self.surveys.values():
            for key, verdict in survey.verdicts.items():
                yield AtlasRow(self.cases[key], survey.ground, verdict)
