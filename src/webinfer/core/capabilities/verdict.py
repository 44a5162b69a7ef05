"""What a WebGPU adapter's own words prove about hardware, beside what the operating system lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

VerdictKind = Literal["hardware", "software", "mixed", "unproven"]

_SOFTWARE = re.compile(
    r"swiftshader|llvmpipe|lavapipe|softpipe|\bwarp\b|basic render|software rasteri[sz]er|\bsoftware\b"
)
_MAKERS = ("nvidia", "amd", "ati", "intel", "apple", "qualcomm", "arm", "img-tec", "imagination", "samsung", "broadcom")
"""Makers of GPUs, as browsers spell them: https://www.w3.org/TR/webgpu/#gpuadapterinfo and Dawn's list of vendors."""
_REAL = ("discrete GPU", "integrated GPU")
_WIDER = 8.0  # times what a thread of WebAssembly does: the most that a core can, as judge_speed derives it
_YARDSTICK = 24.0  # GFLOP/s of a thread, at least; see judge_speed
_SOFT_MAKERS = {"google": "SwiftShader's", "mesa": "llvmpipe's", "microsoft": "the Basic Render Driver's"}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A WebGPU adapter as the browser describes it; fields are empty where it says nothing."""

    vendor: str = ""
    architecture: str = ""
    device: str = ""
    description: str = ""
    type: str = ""
    backend: str = ""
    driver: str = ""
    is_fallback: bool = False

    def __str__(self) -> str:
        words = [self.description or self.device, self.vendor, self.architecture, self.type]
        return " ".join(dict.fromkeys(word for word in words if word)) or (
            "unnamed fallback adapter" if self.is_fallback else "unnamed adapter"
        )


def judge_adapter(adapter: Adapter, listed: Sequence[str] | None = None) -> tuple[VerdictKind, tuple[str, ...]]:
    """Judge an adapter.

    Args:
        adapter: What the browser says of it.
        listed: GPUs that the operating system lists; ``None`` where that is not known.

    Returns:
        The verdict and the observations that it rests on, those against hardware first.
    """
    against = _against(adapter)
    stated = _stated(adapter)
    system = _system(listed)
    if against:
        return "software", (*against, *stated, *system)
    kind, vendor = adapter.type, adapter.vendor.lower()
    if kind == "virtual GPU":
        return "unproven", ("the adapter's type is virtual GPU: what stands behind it is not told", *stated, *system)
    words = set(re.findall(r"[a-z]+(?:-[a-z]+)?", vendor))
    known = any(maker in words for maker in _MAKERS)
    for_it = [f"the adapter's type is {kind}"] if kind in _REAL else []
    for_it += [f"the adapter's vendor is {vendor} and it is no fallback"] if known else []
    if not for_it:
        nothing = (
            "the adapter tells neither a type nor a vendor" if not vendor else f"{vendor} is no known maker of GPUs"
        )
        return "unproven", (nothing, *stated, *system)
    if listed is not None and not listed:
        return "unproven", (*for_it, *stated, "but the operating system lists no GPU")
    return "hardware", (*for_it, *stated, *system)


def judge_speed(
    kind: VerdictKind, gpu: tuple[float, float], cpu: tuple[float, float] | None, cores: int
) -> tuple[VerdictKind, tuple[str, ...]]:
    """Judge an adapter by a timed kernel, beside its own words, which prove ``kind``.

    One thread of the page's WebAssembly is the yardstick. It multiplies and adds in vectors of 128 bits, apart. The
    widest vectors that a software adapter can use are of 512 bits, and fused they do two operations at once: eight
    times as much per core, and that on every logical core. What is faster than all of it together is no software on
    this machine. A page whose WebAssembly is not compiled would be a short yardstick: one under 24 GFLOP/s, which is
    two units of 128 bits at 3 GHz, counts as that. A GPU below the bound stays ``unproven``, as many
    integrated ones will. Memory decides nothing, since software uses the same as the CPU.

    Args:
        kind: What the adapter's words prove. Only where that is nothing do figures decide: words of software stand.
        gpu: GFLOP/s and GB/s of the adapter.
        cpu: The same of one thread of WebAssembly; ``None`` where it has no vectors.
        cores: Logical cores of the machine.

    Returns:
        The verdict, and what was observed.
    """
    (fast, moved), bound = gpu, cores * _WIDER * max(_YARDSTICK, cpu[0] if cpu else 0.0)
    beside = f", {fast / cpu[0]:.3g} times one thread of WebAssembly ({cpu[0]:.3g})" if cpu and cpu[0] else ""
    reach = "could not" if fast > bound else "could"
    limit = f"software on {cores} logical cores {reach} do that, since it reaches at most {bound:.3g} GFLOP/s"
    other = f" and one thread of WebAssembly moves {cpu[1]:.3g}" if cpu else ""
    observed = (f"a timed kernel does {fast:.3g} GFLOP/s on it{beside}", limit, f"it moves {moved:.3g} GB/s{other}")
    return ("hardware" if kind == "unproven" and fast > bound else kind), observed


def judge_webnn(engine: str, platform: str, device: str) -> tuple[VerdictKind, tuple[str, ...]]:
    """Judge WebNN by the device that its context was asked for, since no browser reports which one ran a graph.

    Args:
        engine: The browser's engine.
        platform: The browser's platform.
        device: The device that was asked for.

    Returns:
        The verdict, and its evidence.
    """
    asked = f"webinfer asked WebNN for the device {device}"
    if engine == "chromium" and "linux" in platform.lower():
        return "software", (asked, "on Linux Chromium's WebNN is LiteRT with XNNPACK, which runs on the CPU")
    if device == "cpu":
        return "software", (f"{asked}, and WebNN may then use no other",)
    return "unproven", (asked, "WebNN does not tell which device ran a graph")


def _against(adapter: Adapter) -> list[str]:
    texts = adapter.vendor, adapter.architecture, adapter.device, adapter.description, adapter.driver
    named = " ".join(texts).lower()
    signs = [f"the adapter is called {name}" for name in dict.fromkeys(_SOFTWARE.findall(named))]
    vendor = adapter.vendor.lower()
    if not signs and vendor in _SOFT_MAKERS and adapter.type not in _REAL:
        signs.append(f"the vendor {vendor} is {_SOFT_MAKERS[vendor]}")
    if adapter.is_fallback:
        signs.append("the adapter says that it is a fallback")
    if adapter.type.upper() == "CPU":
        signs.append("the adapter's type is CPU")
    return signs


def _stated(adapter: Adapter) -> list[str]:
    named = ("description", adapter.description), ("driver", adapter.driver), ("backend", adapter.backend)
    parts = [f"{name} {text}" for name, text in named if text]
    return [f"the browser states {', '.join(parts)}"] if parts else []


def _system(listed: Sequence[str] | None) -> list[str]:
    if listed is None:
        return []
    return [f"the operating system lists {', '.join(listed)}" if listed else "the operating system lists no GPU"]
