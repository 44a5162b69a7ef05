"""The plan of a benchmark: the matrix of configurations, and which of them can be measured here."""

from __future__ import annotations

import datetime
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from webinfer.api.accelerator import AsyncAccelerator
from webinfer.bench.cell import Cell, Configuration
from webinfer.bench.record import Method, Record
from webinfer.browsers.discovery.find import find, version
from webinfer.core import package_version
from webinfer.core.errors import OptionError, WebinferError
from webinfer.core.options import BACKENDS, BROWSERS, PLATFORMS
from webinfer.models.files.variants import PRECISIONS
from webinfer.models.sources.cached import here
from webinfer.models.sources.resolve import listed
from webinfer.quantization.weights.scheme import SCHEMES
from webinfer.telemetry.database.machine import machine, revision

EVERY_BROWSER: tuple[str, ...] = tuple(name for name in BROWSERS if name not in ("auto", "url"))
EVERY_PRECISION = ("full", *(name for name in SCHEMES if name != "fp32"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Values whose combinations are measured.

    Attributes:
        models: References, as ``Accelerator.load`` takes them.
        browsers: Names; ``auto`` is the first one found.
        platforms: Backends; ``auto`` is the browser's own choice.
        precisions: ``full``, or as ``Accelerator.load`` takes them.
        concurrency: Numbers of requests at once, on as many lanes.

    Raises:
        OptionError: A value is not valid.
    """

    models: tuple[str, ...]
    browsers: tuple[str, ...] = ("auto",)
    platforms: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("full",)
    concurrency: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name, values, known in (
            ("browser", self.browsers, BROWSERS),
            ("platform", self.platforms, PLATFORMS),
            ("precision", self.precisions, ("full", *PRECISIONS)),
        ):
            for value in values:
                if value not in known or value == "url":
                    raise OptionError(f"{name} must be one of {', '.join(known)}, not {value!r}.", option=name)
        if any(number < 1 for number in self.concurrency):
            raise OptionError("concurrency must be 1 or more.", option="concurrency")
        if not self.models:
            raise OptionError("There is no model to measure: name one with --model.", option="model")

    def to_dict(self) -> dict[str, Any]:
        """Return the matrix as values of JSON."""
        return {name: list(getattr(self, name)) for name in self.__slots__}


def full_matrix(models: Sequence[str] = (), concurrency: Sequence[int] = (1,)) -> Matrix:
    """Return the matrix of every browser, backend and precision.

    Args:
        models: Models; empty for all that are ready.
        concurrency: Numbers of requests at once.
    """
    return Matrix(
        models=tuple(models) or tuple(sorted(here(listed()))),
        browsers=EVERY_BROWSER,
        platforms=BACKENDS,
        precisions=EVERY_PRECISION,
        concurrency=tuple(concurrency),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedBrowser:
    """What a browser can run.

    Attributes:
        name: Its name; for ``auto``, the name of the browser that was found.
        missing: Why it cannot be used, with the error's code.
        errors: Why a backend is missing, by backend.
        chosen: The backend that ``auto`` means.
        facts: What it reported of itself, for the record.
    """

    name: str
    missing: tuple[str, str] | None = None
    errors: dict[str, str] = field(default_factory=dict)
    chosen: str = "wasm"
    facts: dict[str, Any] = field(default_factory=dict)


async def survey(
    names: Sequence[str], report: Callable[[str], None], options: dict[str, Any]
) -> dict[str, SurveyedBrowser]:
    """Find browsers, and start each one to read its capabilities.

    Args:
        names: Browsers to look for.
        report: Called with the current step, in words.
        options: Options of the accelerators.

    Returns:
        What each browser can run, or why it cannot be used, by name.
    """
    surveyed = {}
    for wish in dict.fromkeys(names):
        report(f"look at {wish}")
        name = wish
        try:
            installation = find(wish)  # type: ignore[arg-type]  # checked by Matrix
            name = installation.name
            began = time.perf_counter()
            async with AsyncAccelerator(browser=name, **options) as accelerator:
                capabilities = await accelerator.start()
                start = time.perf_counter() - began
        except WebinferError as error:
            missing = (str(error), error.code)
            surveyed[wish] = SurveyedBrowser(name=name, missing=missing, facts={"missing": str(error)})
            continue
        facts = {
            "version": version(installation),
            "engine": capabilities.engine,
            "engine_version": capabilities.engine_version,
            "executable": str(installation.executable),
            "adapter": str(capabilities.adapter) if capabilities.adapter else None,
            "start": start,
            "backends": list(capabilities.backends),
            "errors": dict(capabilities.errors),
            "verdicts": {backend: capabilities.verdict(backend).kind for backend in capabilities.backends},
        }
        surveyed[wish] = SurveyedBrowser(
            name=name, errors=dict(capabilities.errors), chosen=capabilities.choose(), facts=facts
        )
    return surveyed


def expand(matrix: Matrix, surveyed: dict[str, SurveyedBrowser]) -> list[Cell]:
    """Return a cell for every combination, once. A combination that cannot be measured has the reason.

    Args:
        matrix: What to measure.
        surveyed: What each browser can run.
    """
    # ``auto`` stands for a browser or backend that may be named as well: the first of two equal cells stays.
    cells: dict[Configuration, Cell] = {}
    for model, concurrency, precision, name, platform in itertools.product(
        matrix.models, matrix.concurrency, matrix.precisions, matrix.browsers, matrix.platforms
    ):
        browser = surveyed[name]
        configuration = Configuration(
            model=model,
            browser=browser.name,
            backend=browser.chosen if platform == "auto" else platform,
            precision=precision,
            concurrency=concurrency,
        )
        cells.setdefault(configuration, _cell(configuration, browser))
    return list(cells.values())


def new_record(matrix: Matrix, method: Method, surveyed: dict[str, SurveyedBrowser], options: dict[str, Any]) -> Record:
    """Return the record of a benchmark that starts now.

    Args:
        matrix: What to measure.
        method: How to measure.
        surveyed: What each browser can run.
        options: Options of the accelerators.
    """
    now = datetime.datetime.now(datetime.UTC)
    return Record(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        started=now.isoformat(timespec="seconds"),
        machine=machine(),
        revision=revision(),
        version=package_version(),
        command=matrix.to_dict(),
        options=options,
        method=method,
        browsers={browser.name: browser.facts for browser in surveyed.values()},
        cells=expand(matrix, surveyed),
    )


def _cell(configuration: Configuration, browser: SurveyedBrowser) -> Cell:
    if browser.missing is not None:
        why, code = browser.missing
        return Cell(configuration=configuration, status="cannot", why=why, code=code)
    if configuration.backend in browser.errors:
        why = browser.errors[configuration.backend]
        return Cell(configuration=configuration, status="cannot", why=why, code="backend.unavailable")
    return Cell(configuration=configuration)
