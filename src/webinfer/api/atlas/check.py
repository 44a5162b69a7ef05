"""A model held against the atlas, browser by browser: which nodes run, fall back, are wrong, and what to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, cast

from webinfer.accuracy.atlas.advice import advice
from webinfer.accuracy.atlas.match import AtlasPlace, Chart, NodeFinding
from webinfer.accuracy.atlas.rows import Atlas, Ground
from webinfer.accuracy.atlas.steering import findings
from webinfer.accuracy.bounded.reference import Canary, canaries_of
from webinfer.accuracy.comparison import compare, fault, limits_for
from webinfer.api.sync.accelerator import Accelerator
from webinfer.core.errors import WebinferError
from webinfer.core.options import Backend, BrowserName, Options
from webinfer.deployment.prepare import deliver
from webinfer.models.files.package import ModelPackage
from webinfer.models.graphs.outline import outline


@dataclass(frozen=True, slots=True)
class Trouble:
    """A node that a backend gets wrong, and what to change in the export.

    Attributes:
        finding: What the atlas says of it.
        change: What to change; ``None`` where no row that is right comes near.
    """

    finding: NodeFinding
    change: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**self.finding.to_dict(), "change": self.change}


@dataclass(frozen=True, slots=True)
class CheckTrial:
    """What came of running a model.

    Attributes:
        error: Why it did not run; ``None`` where it did.
        wrong: How its answers differ from native onnxruntime's; ``None`` where they do not.
        placement: Where its nodes ran; ``None`` where it is not known.
    """

    error: str | None = None
    wrong: str | None = None
    placement: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"error": self.error, "wrong": self.wrong, "placement": self.placement}


@dataclass(slots=True)
class Check:
    """A model on one backend of one browser.

    Attributes:
        ground: The survey's, by which the nodes were looked up.
        counts: Nodes by standing: right, fallback, refused, wrong, kills, mixed, unknown.
        rewritten: Parts of the graph that webinfer replaces there, by operator.
        troubles: Nodes that are wrong, refused or end their lane, or that may be.
        trial: What came of running it; ``None`` where it was not run.
    """

    ground: Ground
    counts: dict[str, int]
    rewritten: dict[str, int]
    troubles: list[Trouble] = field(default_factory=list)
    trial: CheckTrial | None = None

    @property
    def verdict(self) -> str:
        """One word: ``wrong``, ``refused``, ``unsure``, ``falls back`` or ``right``; of a run, where there was one."""
        if self.trial is not None:
            return "refused" if self.trial.error else "wrong" if self.trial.wrong else "right"
        if self.counts.get("wrong") or self.counts.get("kills"):
            return "wrong"
        if self.counts.get("refused"):
            return "refused"
        if self.counts.get("mixed") or self.counts.get("unknown"):
            return "unsure"
        return "falls back" if self.counts.get("fallback") else "right"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            **self.ground.to_dict(),
            "verdict": self.verdict,
            "counts": self.counts,
            "rewritten": self.rewritten,
            "nodes": [trouble.to_dict() for trouble in self.troubles],
            "trial": self.trial.to_dict() if self.trial else None,
        }


def check(package: ModelPackage, atlas: Atlas) -> list[Check]:
    """Look up a model's nodes for every browser and backend that the atlas knows. Nothing runs.

    Each backend's own graph is looked up: as webinfer rewrites it there.

    Args:
        package: The model.
        atlas: The atlas.

    Returns:
        A check for the newest survey of each browser and backend.

    Raises:
        InvalidModel: The file is not ONNX, or is cut off.
    """
    newest: dict[tuple[str, str], Ground] = {}
    for survey in sorted(atlas.surveys.values(), key=lambda survey: survey.ground.at):
        newest[survey.ground.browser, survey.ground.backend] = survey.ground
    return [_check(package, atlas, ground) for _, ground in sorted(newest.items())]


def _check(package: ModelPackage, atlas: Atlas, ground: Ground) -> Check:
    delivery = deliver(package, ground.backend)
    model = outline(delivery.model.path, delivery.model.sha256)
    place = AtlasPlace(ground.engine, ground.engine_version, ground.runtime, ground.backend, ground.adapter)
    chart = Chart(atlas, place)
    known = findings(model, chart)
    counts = Counter[str](finding.standing for finding in known)
    troubles = [Trouble(one, advice(chart, one)) for one in known if one.bad or one.standing in ("refused", "mixed")]
    return Check(ground, dict(counts), dict(delivery.rewritten), troubles)


def try_out(package: ModelPackage, checks: Iterable[Check], options: Options) -> None:
    """Run a model where checks say, and note what came of it.

    Args:
        package: The model.
        checks: The checks, changed in place. Those of browsers that are not here say so.
        options: Options of the accelerators.

    Raises:
        RunFailed: Native onnxruntime does not answer, so that nothing says what is right.
    """
    canaries = canaries_of(package)
    for one in checks:
        wanted = replace(options, browser=cast(BrowserName, one.ground.browser))
        one.trial = _try(package, canaries, wanted, one.ground.backend)


def _try(package: ModelPackage, canaries: Iterable[Canary], options: Options, backend: Backend) -> CheckTrial:
    wanted, wrong = replace(options, platform=backend, accuracy="off", retries=0), None
    try:
        with closing(Accelerator(wanted)) as accelerator, accelerator.load(package.model.path) as model:
            for canary in canaries:
                result = model.run(canary.inputs)
                deviations = compare(result.outputs, canary.answer, canary.steady)
                wrong = wrong or fault(deviations, limits_for(package.precision))
    except WebinferError as error:
        return CheckTrial(error=str(error).splitlines()[0])
    return CheckTrial(wrong=wrong, placement=str(result.placement) if result.placement else None)
