"""Every option and its default. The CLI's flags and the table in docs/reference/options.md are made from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from webinfer.core.errors import OptionError
from webinfer.core.errors.suggestions import suggestion
from webinfer.core.options.validation import coerce

Backend = Literal["webgpu", "webnn", "wasm"]
Platform = Literal["auto", "webgpu", "webnn", "wasm"]
BrowserName = Literal["auto", "embedded", "chrome", "chromium", "edge", "firefox", "safari", "webkit", "url"]
ManyName = Literal["all", "embedded", "chrome", "chromium", "edge", "firefox", "safari", "webkit", "url"]
Requirement = Literal["no-fallback"]
AccuracyMode = Literal["auto", "off", "warn", "fallback", "raise"]
RoutingName = Literal["auto", "table"]
DEFAULT_LANES = DEFAULT_BATCH_SIZE = 1  # where the caller leaves them, the tuner's winner decides

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
        "Browser to start. The value auto takes the first one found, and looks for the embedded Chromium first. The "
        "value url logs an address, which you open in any browser that reaches the host within launch_timeout.",
    )
    browsers: tuple[ManyName, ...] = _option(
        (), "Browsers to use side by side, in place of browser. The value all means every one found except WebKit."
    )
    browser_preferences: Mapping[str, NamedBrowsers] | None = _option(
        None, "The browser, or several in order, that takes a family of models. It needs browsers."
    )
    routing: RoutingName = _option(
        "auto",
        "How platform auto chooses. The value auto takes the winner that `webinfer tune` found for the model on this "
        "machine, and without one the table of preferences. The value table leaves the winner out.",
    )
    executable: Path | None = _option(None, "Path of the browser's executable. No other browser is looked for.")
    browser_args: tuple[str, ...] = _option((), "More command-line arguments for the browser.")
    headless: bool = _option(True, "Start the browser without a window.")
    platform: Platform = _option("auto", "Backend to run on. The value auto chooses by what the browser can do.")
    require: Requirement | None = _option(
        None, "Refuse a model if the runtime would run some of its nodes on another backend: no-fallback."
    )
    require_hardware: bool = _option(
        False,
        "Refuse a model unless it is proven that hardware beyond the CPU runs it. A WebGPU adapter that says nothing "
        "about itself is timed for a second.",
    )
    accuracy: AccuracyMode = _option(
        "auto",
        "What to do when a model's first answers differ from native onnxruntime's. The value auto takes the next "
        "backend if webinfer chose the backend, and warns in each result if the caller named it. Or warn, take the "
        "next backend or precision (fallback), or raise. The value off does not compare them.",
    )
    accuracy_limits: Mapping[str, Mapping[str, float]] | None = _option(
        None, "Other limits for that comparison, by precision: cosine, error, top or equal. The precision * means all."
    )
    lanes: int = _option(
        DEFAULT_LANES,
        "Most lanes in a browser. A lane is a worker that runs one inference at a time. With 1 and no min_lanes, a "
        "browser that `webinfer tune` chose has as many lanes as it found to be the best.",
    )
    min_lanes: int | None = _option(
        None,
        "Lanes that stay while there is no work, in all browsers together. More start while requests wait, up to lanes "
        "in each browser, and end after idle_timeout. None keeps all lanes.",
    )
    idle_timeout: float | None = _option(60.0, "Time without work after which a lane beyond min_lanes ends.")
    max_lane_age: float | None = _option(None, "Age at which a lane is replaced. It answers its requests first.")
    max_lane_runs: int | None = _option(None, "Number of runs after which a lane is replaced.")
    max_browser_age: float | None = _option(None, "Age at which a browser is replaced. It answers its requests first.")
    memory_limits: Mapping[str, float] | None = _option(
        None, "Megabytes that a browser may take, by its name. Above that its lanes are replaced, which frees memory."
    )
    max_growth_mb: float | None = _option(
        None,
        "Megabytes by which a browser may grow from run to run, by the slope of the last measurements. Above that its "
        "lanes are replaced.",
    )
    restart_on_memory_pressure: bool = _option(
        False,
        "Replace the whole browser in place of its lanes. Also replace the largest browser when the machine has less "
        "than a tenth of its memory left.",
    )
    threads: int | None = _option(None, "WebAssembly threads of a lane. None divides the cores among the lanes.")
    lane_capacity_mb: float | None = _option(
        600.0, "Megabytes of model files that a lane may hold. Above that the session used longest ago is released."
    )
    address: str = _option("127.0.0.1", "Address that the host listens on.")
    port: int = _option(0, "Port that the host listens on. 0 takes a free one.")
    metrics_token: str | None = _option(
        None, "Secret that Prometheus sends as a bearer token to read /metrics from the host.", secret=True
    )
    launch_timeout: float = _option(60.0, "Time for a browser to start and connect to the host.")
    load_timeout: float = _option(300.0, "Time for a lane to load a model.")
    run_timeout: float | None = _option(300.0, "Time for one request, from the call to the answer.")
    timeout_factors: Mapping[str, float] | None = _option(
        None, "Factors of run_timeout by the model's family. text stands for both families of text."
    )
    large_timeout_factor: float = _option(
        1.0, "Factor of run_timeout for inputs over 1 MB, such as batches of images. 1 treats all sizes alike."
    )
    heartbeat: float = _option(
        5.0, "Interval of the heartbeat between host and page. After three missed ones the other side counts as lost."
    )
    retries: int = _option(
        2,
        "How often a request runs again at once after its lane or browser was lost. Then it rests, up to its deadline.",
    )
    launch_retries: int = _option(2, "How often a browser is started again if no other one can take its place.")
    progressive_backoff: bool = _option(
        True, "Wait 1, 2, 4, 8, then 15 seconds before a browser is started again. False starts it again at once."
    )
    max_message_mb: float = _option(2000.0, "Largest message to or from a browser.")
    max_queue: int = _option(100_000, "Number of requests that may wait. One more raises QueueFull.")
    max_batch_size: int = _option(
        DEFAULT_BATCH_SIZE,
        "Most requests of a model that run together, if that leaves its outputs the same. 1 runs each one alone, if "
        "`webinfer tune` did not find that batches are faster.",
    )
    max_batch_wait: float = _option(
        0.01,
        "Longest time that a request waits for others to join its batch while a lane is free. Nothing waits in an idle "
        "pool.",
    )
    store_models: bool = _option(
        False, "Keep model files in the browser's own storage, by hash, so that they are not fetched again."
    )
    profiles: Path | None = _option(
        None,
        "Directory that keeps the profiles of Chromium and Firefox. With store_models the next accelerator finds its "
        "models there. One browser at a time has a profile, others get fresh ones. Not on Windows.",
    )
    shard_models: bool = _option(
        False,
        "Cut a model that is larger than lane_capacity_mb into stages on several browsers or lanes. So none of them "
        "has to hold all of it.",
    )
    optimize_graphs: bool = _option(
        True,
        "Replace parts of a model by operators for which the backend has a faster kernel. The answers stay the same.",
    )
    db_path: Path | None = _option(
        None,
        "DuckDB file that records every request, load, fault and sample. The name :memory: keeps them until close. If "
        "another process has the file open, a file beside it is written.",
    )
    store_results: bool = _option(
        True, "Record requests in db_path. False records only loads, browsers, lanes and samples of the pool."
    )
    integer_matmul: bool = _option(
        False,
        "Round weights to 8 bits on WebAssembly and multiply in integers. This is faster, and answers differ a little.",
    )
    audio_shaders: bool = _option(
        False,
        "Make the log-mel features of recordings on the GPU, on WebGPU. The workgroup is the fastest one that "
        "`webinfer tune` found, or else 64x1x1. False makes them there only if tuning found that to be faster.",
    )
    resident_state: bool = _option(
        False, "Leave a decoder's keys and values in the memory of the GPU between steps, on WebGPU."
    )
    graph_capture: bool = _option(
        False,
        "Let WebGPU record a run and replay it. Each shape then has a session of its own. The notes of results say why "
        "where this is not possible.",
    )
    warm_up: bool = _option(
        False,
        "Run a model once in each expected shape when it is loaded. So its first request does not wait for shaders or "
        "sessions.",
    )
    warm_up_lengths: tuple[int, ...] = _option(
        (16, 128), "Lengths in tokens that warm_up expects, for models that take sequences."
    )
    allow_nan: bool = _option(False, "Return outputs that hold NaN. Otherwise they raise NotANumber.")

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            object.__setattr__(self, name, coerce(name, getattr(self, name), hint))
        self._check_names()
        self._check_browsers()
        self._check_numbers()

    def _check_names(self) -> None:
        """Refuse what is none of the names that an option knows.

        Raises:
            OptionError: A value is another name.
        """
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

    def _check_browsers(self) -> None:
        """Refuse browsers that exclude each other.

        Raises:
            OptionError: Two options name browsers, or one needs the other.
        """
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

    def _check_numbers(self) -> None:
        """Refuse numbers out of their range, and a token that is too short.

        Raises:
            OptionError: A value is out of its range.
        """
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

        Returns:
            The options; those that are not named have their defaults.

        Raises:
            OptionError: A keyword is unknown (the nearest known one is named) or its value cannot be.
        """
        known = [option.name for option in fields(cls)]
        for name in values:
            if name not in known:
                hint = suggestion(name, known, f"Known: {', '.join(known)}.")
                raise OptionError(f"Unknown option {name!r}. {hint}", option=name)
        return cls(**values)

    @classmethod
    def given(cls, options: Options | None, keywords: Mapping[str, Any]) -> Options:
        """Return options that come as one object or as keywords.

        Args:
            options: The object, or ``None``.
            keywords: Options by name.

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

    Args:
        browser: Name of the browser.
        megabytes: The limit.

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
    """Refuse a value that is not among those allowed.

    Args:
        name: Name of the option.
        value: Its value.
        allowed: The values it may have.

    Raises:
        OptionError: It is another; the nearest one is named.
    """
    if value not in allowed:
        message = f"{name} must be one of {', '.join(allowed)}, not {value!r}. {suggestion(value, allowed)}"
        raise OptionError(message.rstrip(), option=name)


def positive(name: str, value: float) -> None:
    """Refuse a value that is not above 0.

    Args:
        name: Name of the option.
        value: Its value.

    Raises:
        OptionError: It is 0 or less.
    """
    if value <= 0:
        raise OptionError(f"{name} must be above 0, not {value}.", option=name)
