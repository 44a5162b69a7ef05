"""What is to be measured: which browsers there are, what they can run, and why the rest cannot be."""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from webinfer.api.accelerator import AsyncAccelerator
from webinfer.bench.record import Cell, Configuration, Method, Record
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
class Ask:
    """What somebody wants measured; every combination of it.

    Attributes:
        models: References, as ``Accelerator.load`` takes them.
        browsers: Names; ``auto`` stands for the first one found.
        platforms: Backends; ``auto`` stands for the one that the browser would choose.
        precisions: ``full``, or as ``Accelerator.load`` takes them.
        concurrency: How many requests run at once, on as many lanes.
    """

    models: tuple[str, ...]
    browsers: tuple[str, ...] = ("auto",)
    platforms: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("full",)
    concurrency: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name, given, known in (
            ("browser", self.browsers, BROWSERS),
            ("platform", self.platforms, PLATFORMS),
            ("precision", self.precisions, ("full", *PRECISIONS)),
        ):
            for each in given:
                if each not in known or each == "url":
                    raise OptionError(f"{name} must be one of {', '.join(known)}, not {each!r}.", option=name)
        if any(each < 1 for each in self.concurrency):
            raise OptionError("concurrency must be 1 or more.", option="concurrency")
        if not self.models:
            raise OptionError("There is no model to measure: name one with --model.", option="model")

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {name: list(getattr(self, name)) for name in self.__slots__}


def everything(models: Sequence[str] = (), concurrency: Sequence[int] = (1,)) -> Ask:
    """Ask for every browser, backend and precision of some models; of those that lie ready, where none is named.

    Args:
        models: Names of models; none for those that lie ready.
        concurrency: How many requests are under way at once, each of these.
    """
    return Ask(
        models=tuple(models) or tuple(sorted(here(listed()))),
        browsers=EVERY_BROWSER,
        platforms=BACKENDS,
        precisions=EVERY_PRECISION,
        concurrency=tuple(concurrency),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A browser, as it was found.

    Attributes:
        name: What it is; for ``auto``, what that stands for.
        missing: Why it cannot be had, with the error's code.
        errors: Why a backend is missing from it, by backend.
        chosen: The backend that ``auto`` stands for.
        told: What it said of itself, for the record.
    """

    name: str
    missing: tuple[str, str] | None = None
    errors: dict[str, str] = field(default_factory=dict)
    chosen: str = "wasm"
    told: dict[str, Any] = field(default_factory=dict)


async def survey(names: Sequence[str], tell: Callable[[str], None], options: dict[str, Any]) -> dict[str, Seen]:
    """Find browsers, and start each one to ask what it can do.

    Args:
        names: Browsers to look for.
        tell: Called with what is being done, in words.
        options: Options of the accelerators.

    Returns:
        What each browser can do, or why it cannot be used, by name.
    """
    seen = {}
    for asked in dict.fromkeys(names):
        tell(f"look at {asked}")
        name = asked
        try:
            installation = find(asked)  # type: ignore[arg-type]  # checked by Ask
            name = installation.name
            began = time.perf_counter()
            async with AsyncAccelerator(browser=name, **options) as accelerator:
                found = await accelerator.start()
                start = time.perf_counter() - began
        except WebinferError as error:
            seen[asked] = Seen(name=name, missing=(str(error), error.code), told={"missing": str(error)})
            continue
        told = {
            "version": version(installation),
            "engine": found.engine,
            "engine_version": found.engine_version,
            "executable": str(installation.executable),
            "adapter": str(found.adapter) if found.adapter else None,
            "start": start,
            "backends": list(found.backends),
            "errors": dict(found.errors),
            "verdicts": {backend: found.verdict(backend).kind for backend in found.backends},
        }
        seen[asked] = Seen(name=name, errors=dict(found.errors), chosen=found.choose(), told=told)
    return seen


def expand(ask: Ask, seen: dict[str, Seen]) -> list[Cell]:
    """Return a cell for every combination, once; those that cannot be say why.

    Args:
        ask: What is to be measured.
        seen: What each browser can do.
    """
    cells: dict[Configuration, Cell] = {}
    for model in ask.models:
        for concurrency in ask.concurrency:
            for precision in ask.precisions:
                for browser in ask.browsers:
                    for platform in ask.platforms:
                        found = seen[browser]
                        made = Configuration(
                            model=model,
                            browser=found.name,
                            backend=found.chosen if platform == "auto" else platform,
                            precision=precision,
                            concurrency=concurrency,
                        )
                        cells.setdefault(made, _cell(made, found))
    return list(cells.values())


def begin(ask: Ask, method: Method, seen: dict[str, Seen], options: dict[str, Any]) -> Record:
    """Return the record of a benchmark that is about to be made.

    Args:
        ask: What is to be measured.
        method: How.
        seen: What each browser can do.
        options: Options of the accelerators.
    """
    now = datetime.datetime.now(datetime.UTC)
    return Record(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        started=now.isoformat(timespec="seconds"),
        machine=machine(),
        revision=revision(),
        version=package_version(),
        command=ask.to_dict(),
        options=options,
        method=method,
        browsers={each.name: each.told for each in seen.values()},
        cells=expand(ask, seen),
    )


def _cell(made: Configuration, found: Seen) -> Cell:
    if found.missing is not None:
        why, code = found.missing
        return Cell(configuration=made, status="cannot", why=why, code=code)
    if made.backend in found.errors:
        return Cell(configuration=made, status="cannot", why=found.errors[made.backend], code="backend.unavailable")
    return Cell(configuration=made)
