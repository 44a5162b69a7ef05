"""The guide's keywords, translated to our options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import BackendUnavailable, OptionError
from webinfer.core.errors.suggestions import suggestion
from webinfer.core.options import BACKENDS, MANY, ManyName, NamedBrowsers, Options, Platform
from webinfer.pool.plan.preferences import merge
from webinfer.pool.plan.timeouts import FAMILIES, LARGE_FACTOR

_NOW = (
    "max_connections",
    "enable_gpu",
    "enable_cpu",
    "websocket_port",
    "headless",
    "connection_retry_attempts",
    "retry_attempts",
    "timeout_multiplier",
    "inference_timeout_multiplier",
    "large_input_timeout_multiplier",
    "enable_input_size_detection",
    "browser_preferences",
    "enable_progressive_backoff",
    "adaptive_scaling",
    "min_connections",
    "idle_timeout",
    "restart_on_memory_pressure",
    "enable_cross_browser_sharding",
    "db_path",
)

_PLATFORMS: Mapping[str, Platform] = {"auto": "auto", **{name: name for name in BACKENDS}, "cpu": "wasm"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The keywords, translated.

    Attributes:
        options: Options of the accelerator.
        gpu: Whether WebGPU may be used.
        cpu: Whether WebAssembly may be used.
    """

    options: Options
    gpu: bool
    cpu: bool


def read(**keywords: Any) -> Settings:
    """Read the guide's keywords.

    ``timeout_multiplier`` scales every time limit, ``inference_timeout_multiplier`` the limit of runs.
    Large inputs have a longer limit if ``enable_input_size_detection`` is on or ``large_input_timeout_multiplier`` is
    given. With ``adaptive_scaling``, ``min_connections`` or ``idle_timeout`` the number of lanes follows the work.
    ``enable_cross_browser_sharding`` cuts a model that is too large for one lane into stages.
    Without ``db_path`` a database in memory holds the rows of reports.
    ``connection_retry_attempts`` limits the starts of a browser, ``retry_attempts`` the reruns of a lost request.

    Args:
        keywords: The guide's keywords.

    Returns:
        Our options, and the backends that may be used.

    Raises:
        OptionError: A keyword is unknown, or has an invalid value.
    """
    for name in keywords:
        if name not in _NOW:
            raise OptionError(f"Unknown keyword {name!r}. {suggestion(name, _NOW)}".rstrip(), option=name)
    standard, run = _timeouts(keywords)
    settings = Settings(
        options=Options(
            headless=bool(keywords.get("headless", True)),
            port=int(keywords.get("websocket_port", 0)),
            **_scaling(keywords),
            restart_on_memory_pressure=bool(keywords.get("restart_on_memory_pressure", False)),
            shard_models=bool(keywords.get("enable_cross_browser_sharding", False)),
            browsers=("all", *_named(keywords.get("browser_preferences") or {})),
            browser_preferences=keywords.get("browser_preferences"),
            progressive_backoff=bool(keywords.get("enable_progressive_backoff", True)),
            launch_retries=_attempts("connection_retry_attempts", keywords, Options().launch_retries),
            retries=_attempts("retry_attempts", keywords, Options().retries),
            db_path=Path(keywords.get("db_path") or ":memory:"),
            run_timeout=run,
            large_timeout_factor=_large(keywords),
            load_timeout=Options().load_timeout * standard,
            launch_timeout=Options().launch_timeout * standard,
        ),
        gpu=bool(keywords.get("enable_gpu", True)),
        cpu=bool(keywords.get("enable_cpu", True)),
    )
    merge(settings.options.browser_preferences or {})  # so that a bad name is refused now, not at the first model
    if not (settings.gpu or settings.cpu):
        raise OptionError("enable_gpu and enable_cpu are both off: leave one on.", option="enable_cpu")
    return settings


def lanes(max_connections: int) -> int:
    """Return the number of lanes for ``max_connections``: at most one for each core.

    Args:
        max_connections: The guide's number, 1 or more.

    Raises:
        OptionError: It is below 1.
    """
    return min(int(_number("max_connections", max_connections, at_least=1)), os.cpu_count() or 1)


def refuse_later(name: str, value: Mapping[str, Any] | None, neutral: Mapping[str, Any]) -> None:
    """Refuse a dict of settings that differs from its default.

    Args:
        name: The keyword.
        value: The settings that were given.
        neutral: The default settings.

    Raises:
        OptionError: A setting differs.
    """
    if any(setting != neutral.get(key) for key, setting in (value or {}).items()):
        raise OptionError(f"{name}={dict(value or {})!r} is not available in this version; leave it out.", option=name)


def platform_of(name: str) -> Platform:
    """Return the platform of this name; ``cpu`` is WebAssembly.

    Args:
        name: The guide's name.

    Raises:
        OptionError: There is no such platform.
    """
    if name not in _PLATFORMS:
        raise OptionError(f"platform must be one of {', '.join(_PLATFORMS)}, not {name!r}.", option="platform")
    return _PLATFORMS[name]


def family_of(name: str, option: str = "model_type") -> str:
    """Return ``name`` if it is a family of models, or a group of families.

    Args:
        name: The name.
        option: The keyword, for errors.

    Raises:
        OptionError: There is no such family.
    """
    if name not in FAMILIES:
        complaint = f"{option} must be one of {', '.join(FAMILIES)}, not {name!r}. {suggestion(name, FAMILIES)}"
        raise OptionError(complaint.rstrip(), option=option)
    return name


def factors_of(factors: Mapping[str, float]) -> dict[str, float]:
    """Return factors of time limits by family, as numbers.

    Args:
        factors: Factors by family.

    Raises:
        OptionError: A family is unknown, or a factor is not above 0.
    """
    return {family_of(name, "family"): _number(name, factor, above=0) for name, factor in factors.items()}


def choose(platform: Platform, capabilities: Capabilities, *, gpu: bool, cpu: bool) -> tuple[Platform, str | None]:
    """Choose the platform to load a model on, if not all of them may be used.

    Args:
        platform: The platform that the caller asked for.
        capabilities: What the browser can do.
        gpu: Whether WebGPU may be used.
        cpu: Whether WebAssembly may be used.

    Returns:
        The platform, and the reason if it differs from the caller's.

    Raises:
        BackendUnavailable: The browser can run none of the platforms that may be used.
    """
    if gpu and cpu:
        return platform, None
    name, barred = ("enable_gpu", "webgpu") if not gpu else ("enable_cpu", "wasm")
    usable = [backend for backend in capabilities.backends if backend != barred]
    if not usable:
        raise BackendUnavailable(
            f"{name} is off, and {capabilities.engine} can run only {barred} here: leave {name} on.",
            backend=platform,
            available=[],
        )
    if platform in usable:
        return platform, None
    best: Platform = "webnn" if "webnn" in usable else usable[0]
    if platform == "auto":
        return best, None
    return best, f"{name} is off" if platform == barred else capabilities.errors[platform]


def _scaling(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of lanes: a fixed number, or a range if the number follows the work."""
    most = lanes(keywords.get("max_connections", 4))
    if not keywords.get("adaptive_scaling") and not {"min_connections", "idle_timeout"} & set(keywords):
        return {"lanes": most}
    least = int(_number("min_connections", keywords.get("min_connections", 1), at_least=0))
    idle = _number("idle_timeout", keywords.get("idle_timeout", Options().idle_timeout), above=0)
    return {"lanes": most, "min_lanes": min(least, most), "idle_timeout": idle}


def _named(preferences: Mapping[str, NamedBrowsers]) -> list[ManyName]:
    """Return the browsers that preferences name, because some, such as WebKit, are used only if they are named."""
    preferred = {name for names in preferences.values() for name in ([names] if isinstance(names, str) else names)}
    return [name for name in MANY[1:] if name in preferred]


def _attempts(name: str, keywords: Mapping[str, Any], default: int) -> int:
    return int(_number(name, keywords.get(name, default), at_least=0))


def _timeouts(keywords: Mapping[str, Any]) -> tuple[float, float]:
    """Return the factor of all time limits, and the limit of a run in seconds."""
    standard = _number("timeout_multiplier", keywords.get("timeout_multiplier", 1), above=0)
    inference = _number("inference_timeout_multiplier", keywords.get("inference_timeout_multiplier", 1), above=0)
    seconds = Options().run_timeout
    assert seconds is not None
    return standard, seconds * standard * inference


def _large(keywords: Mapping[str, Any]) -> float:
    keyword = "large_input_timeout_multiplier"
    if not keywords.get("enable_input_size_detection", keyword in keywords):
        return 1.0
    return _number(keyword, keywords.get(keyword, LARGE_FACTOR), above=0)


def _number(name: str, value: Any, *, above: float | None = None, at_least: float | None = None) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{name} must be a number, not {value!r}.", option=name) from None
    if above is not None and not number > above:
        raise OptionError(f"{name} must be above {above:g}, not {value!r}.", option=name)
    if at_least is not None and not number >= at_least:
        raise OptionError(f"{name} must be {at_least:g} or more, not {value!r}.", option=name)
    return number
