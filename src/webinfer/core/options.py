"""Every option and its default. The CLI's flags and the table in docs/options.md are made from here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from webinfer.core.errors import OptionError
from webinfer.core.validation import coerce

Backend = Literal["webgpu", "webnn", "wasm"]
Platform = Literal["auto", "webgpu", "webnn", "wasm"]
BrowserName = Literal["auto", "embedded", "chrome", "chromium", "edge", "firefox", "safari", "webkit", "url"]
ManyName = Literal["all", "embedded", "chrome", "chromium", "edge", "firefox", "safari", "webkit", "url"]
Requirement = Literal["no-fallback"]
AccuracyMode = Literal["off", "warn", "fallback", "raise"]
RoutingName = Literal["auto", "table"]
ChosenBy = Literal["caller", "table", "tuned"]
NamedBrowsers = str | Sequence[str]

BACKENDS: tuple[Backend, ...] = get_args(Backend)
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
BROWSERS: tuple[BrowserName, ...] = get_args(BrowserName)
MANY: tuple[ManyName, ...] = get_args(ManyName)
_SECRET = 16  # characters of a token that nobody guesses
ACCURACY_MODES: tuple[AccuracyMode, ...] = get_args(AccuracyMode)
REQUIREMENTS: tuple[Requirement, ...] = get_args(Requirement)
_NONE_OR_ABOVE_0 = (
    "threads",
    "run_timeout",
    "lane_capacity_mb",
    "idle_timeout",
    "max_lane_age",
    "max_lane_runs",
    "max_browser_age",
    "max_growth_mb",
)


def _option(default: Any, help: str, secret: bool = False) -> Any:
    return field(default=default, metadata={"help": help}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an accelerator behaves. Times are in seconds, sizes in megabytes (10^6 bytes), ``None`` means off."""

    browser: BrowserName = _option(
        "auto",
        "Browser to start; auto takes the first one found, the embedded Chromium first, and url waits, launch_timeout "
        "long, for a page that you open yourself, in any browser that reaches the host: its URL is logged.",
    )
    browsers: tuple[ManyName, ...] = _option(
        (), "Browsers to use side by side, in place of one; all stands for every one found but WebKit."
    )
    browser_preferences: Mapping[str, NamedBrowsers] | None = _option(
        None, "Browser, or several in order, that a family of models goes to; it needs browsers."
    )
    routing: RoutingName = _option(
        "auto",
        "How platform auto chooses: auto takes the winner that `webinfer tune` found for the model on this machine, "
        "and otherwise the table of preferences decides; table leaves the winner out.",
    )
    executable: Path | None = _option(None, "Path of the browser's executable, in place of looking for one.")
    browser_args: tuple[str, ...] = _option((), "Further command-line arguments for the browser.")
    headless: bool = _option(True, "Start the browser without a window.")
    platform: Platform = _option("auto", "Backend to run on; auto chooses by what the browser can do.")
    require: Requirement | None = _option(
        None,
        "Refuse to load a model some of whose nodes the runtime would run elsewhere than on the backend: no-fallback.",
    )
    require_hardware: bool = _option(
        False,
        "Refuse to load a model where it is not proven that hardware beyond the CPU runs it; a WebGPU adapter that "
        "says nothing of itself is timed for a second.",
    )
    accuracy: AccuracyMode = _option(
        "off",
        "What to do when the browser's answers to canary inputs, compared when a model is first loaded, are not native "
        "onnxruntime's: warn, take the next backend or precision (fallback), or raise; off compares nothing.",
    )
    accuracy_limits: Mapping[str, Mapping[str, float]] | None = _option(
        None, "Limits of that comparison that differ: cosine, error, top or equal, by precision; * is all of them."
    )
    lanes: int = _option(1, "Lanes per browser, at most: workers that each run one inference at a time.")
    min_lanes: int | None = _option(
        None,
        "Lanes kept while idle, in all browsers together: further ones, up to lanes in each browser, start while "
        "requests wait, and end after idle_timeout, and so does a browser without lanes; None keeps all.",
    )
    idle_timeout: float | None = _option(60.0, "Time without work after which a lane beyond min_lanes is ended.")
    max_lane_age: float | None = _option(None, "Time after which a lane is replaced, once it has answered.")
    max_lane_runs: int | None = _option(None, "Runs after which a lane is replaced.")
    max_browser_age: float | None = _option(None, "Time after which a browser is replaced, once it has answered.")
    memory_limits: Mapping[str, float] | None = _option(
        None,
        "Megabytes that each browser, by name, may take: over it, its lanes are replaced, which frees what they hold.",
    )
    max_growth_mb: float | None = _option(
        None, "Megabytes that a browser may grow by from run to run, by the slope of its last measurements, likewise."
    )
    restart_on_memory_pressure: bool = _option(
        False,
        "Replace the whole browser then, and the largest one when the machine has under a tenth of its memory left.",
    )
    threads: int | None = _option(None, "WebAssembly threads per lane; None shares the cores out among the lanes.")
    lane_capacity_mb: float | None = _option(
        600.0, "Model files that a lane may hold loaded; beyond it, the session used longest ago gives way."
    )
    address: str = _option("127.0.0.1", "Address that the host listens on.")
    port: int = _option(0, "Port that the host listens on; 0 takes a free one.")
    metrics_token: str | None = _option(
        None, "Secret that Prometheus sends, as a bearer token, to read /metrics from the host.", secret=True
    )
    launch_timeout: float = _option(60.0, "Time for a browser to start and dial back.")
    load_timeout: float = _option(300.0, "Time for a lane to load a model.")
    run_timeout: float | None = _option(300.0, "Time for one inference, from asking to answer.")
    timeout_factors: Mapping[str, float] | None = _option(
        None, "Factors of run_timeout by the model's family; text stands for both families of text."
    )
    large_timeout_factor: float = _option(
        1.0, "Factor of run_timeout for inputs of over 1 MB, such as batches of images; 1 takes sizes for no matter."
    )
    heartbeat: float = _option(
        5.0, "Interval of the heartbeat between host and page; three missed ones mean that the other is lost."
    )
    retries: int = _option(2, "How often a request is run again when its lane or browser is lost.")
    launch_retries: int = _option(2, "How often starting a browser is tried again where no other can take its place.")
    progressive_backoff: bool = _option(
        True, "Wait 1, 2, 4, 8, then 15 seconds before starting a browser is tried again, in place of trying at once."
    )
    max_message_mb: float = _option(2000.0, "Largest message to or from a browser.")
    max_queue: int = _option(100_000, "Requests that may wait before QueueFull is raised.")
    max_batch_size: int = _option(
        1, "Requests of a model that run together at most, where its outputs stay the same; 1 runs each one alone."
    )
    max_batch_wait: float = _option(
        0.01, "Longest time that a request waits for others to run with while a lane is free; nobody waits when idle."
    )
    store_models: bool = _option(
        False, "Keep model files in the browser's own storage, by hash, so that it need not fetch them again."
    )
    profiles: Path | None = _option(
        None,
        "Directory to keep the profiles of Chromium and Firefox in, so that with store_models the next accelerator has "
        "the models already. One browser at a time has a profile, others get fresh ones. Not on Windows.",
    )
    shard_models: bool = _option(
        False,
        "Cut a model that is larger than lane_capacity_mb into stages, each on another browser or lane where there are "
        "several, so that none has to hold all of it.",
    )
    optimize_graphs: bool = _option(
        True, "Replace parts of a model by operators that the backend has a faster kernel for, with the same answers."
    )
    db_path: Path | None = _option(
        None,
        "DuckDB file to record every request, load, fault and sample in; :memory: keeps them until close. One that "
        "another process has open is left to it, and a file beside it written.",
    )
    store_results: bool = _option(
        True, "Record requests in db_path; off, only loads, browsers, lanes and the pool's samples are."
    )
    integer_matmul: bool = _option(
        False,
        "Round weights to 8 bits on WebAssembly, and multiply in integers: faster, with answers that differ a little.",
    )
    audio_shaders: bool = _option(
        False,
        "Make the log-mel features of recordings on the GPU, on WebGPU, in workgroups of the shape that "
        "`webinfer tune` found to be the fastest, else of 64x1x1.",
    )
    resident_state: bool = _option(
        False,
        "Leave a decoder's keys and values in the memory of the GPU between steps, on WebGPU.",
    )
    graph_capture: bool = _option(
        False,
        "Have WebGPU record a run and replay it, with a session for each shape; where that cannot be, the notes "
        "of results say why.",
    )
    warm_up: bool = _option(
        False,
        "Run a model once in each shape expected when it is loaded, so that its first request does not wait for "
        "shaders to be compiled or sessions to be made.",
    )
    warm_up_lengths: tuple[int, ...] = _option(
        (16, 128), "Tokens of the sequences that warm_up expects, for models that take sequences."
    )
    allow_nan: bool = _option(False, "Return outputs that hold NaN in place of raising NotANumber.")

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            object.__setattr__(self, name, coerce(name, getattr(self, name), hint))
        one_of("browser", self.browser, BROWSERS)
        one_of("platform", self.platform, PLATFORMS)
        one_of("accuracy", self.accuracy, ACCURACY_MODES)
        if self.require is not None:
            one_of("require", self.require, REQUIREMENTS)
        if str(self.routing) == "learned":
            raise OptionError(
                "Nothing is learned from live requests any more: run `webinfer tune MODEL` once, and routing='auto' "
                "takes its winner.",
                option="routing",
            )
        one_of("routing", self.routing, get_args(RoutingName))
        for browser in self.browsers:
            one_of("browsers", browser, MANY)
        if self.browsers and (self.executable is not None or self.browser != "auto"):
            raise OptionError(
                "browsers takes the place of browser and executable: give one or the other.", option="browsers"
            )
        if self.browser_preferences and not self.browsers:
            raise OptionError(
                "browser_preferences needs browsers to choose from: pass browsers too.", option="browsers"
            )
        for name in (
            "lanes",
            "max_queue",
            "launch_timeout",
            "load_timeout",
            "large_timeout_factor",
            "heartbeat",
            "max_message_mb",
            "max_batch_size",
        ):
            positive(name, getattr(self, name))
        for length in self.warm_up_lengths:
            positive("warm_up_lengths", length)
        for name in _NONE_OR_ABOVE_0:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise OptionError(f"{name} must be above 0 or None, not {value}.", option=name)
        for name, value in (self.memory_limits or {}).items():
            check_memory_limit(name, value)
        if self.min_lanes is not None and self.min_lanes > self.lanes:
            raise OptionError(f"min_lanes is {self.min_lanes}, over lanes, which is {self.lanes}.", option="min_lanes")
        for name in ("retries", "launch_retries", "min_lanes", "max_batch_wait"):
            if (getattr(self, name) or 0) < 0:
                raise OptionError(f"{name} must be 0 or more, not {getattr(self, name)}.", option=name)
        if self.metrics_token is not None and len(self.metrics_token) < _SECRET:
            raise OptionError(f"metrics_token needs {_SECRET} characters or more.", option="metrics_token")
        if not 0 <= self.port <= 65535:
            raise OptionError(f"port must be between 0 and 65535, not {self.port}.", option="port")

    @classmethod
    def of(cls, **values: Any) -> Options:
        """Make options from keywords.

        Raises:
            OptionError: A keyword is unknown (the nearest known one is named) or its value cannot be.
        """
        known = [option.name for option in fields(cls)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise OptionError(
                    f"Unknown option {name!r}."
                    + (f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."),
                    option=name,
                )
        return cls(**values)

    @classmethod
    def given(cls, options: Options | None, keywords: Mapping[str, Any]) -> Options:
        """Return options that come as one object or as keywords.

        Raises:
            OptionError: They come as both or as something else, or a keyword is wrong.
        """
        if options is None:
            return cls.of(**keywords)
        if not isinstance(options, Options):
            raise OptionError(f"Name the option that {options!r} is for, as in browser='firefox'.", option="options")
        if keywords:
            raise OptionError(f"Give options or {', '.join(keywords)}, not both.", option="options")
        return options


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Options)


def check_memory_limit(browser: str, megabytes: float) -> None:
    """Check one of ``memory_limits``.

    Raises:
        OptionError: There is no such browser, or no browser could do with so little.
    """
    one_of("memory_limits", browser, BROWSERS[1:])
    if not megabytes > 0:
        raise OptionError(f"The memory limit of {browser} must be above 0, not {megabytes}.", option="memory_limits")


def describe() -> list[tuple[Field[Any], str]]:
    """Return each option with its help text, in order."""
    return [(option, str(option.metadata["help"])) for option in fields(Options)]


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not among those allowed."""
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"{name} must be one of {', '.join(allowed)}, not {value!r}.{hint}", option=name)


def positive(name: str, value: float) -> None:
    """Refuse a value that is not above 0."""
    if value <= 0:
        raise OptionError(f"{name} must be above 0, not {value}.", option=name)
