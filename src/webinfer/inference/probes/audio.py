"""Whisper's log-mel spectrogram on the GPU, in workgroups of the shape that is fastest there.

Which shape that is was measured once for each adapter and version of an engine, and is kept in the cache.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.core.cache import cache_dir
from webinfer.core.capabilities import Capabilities
from webinfer.core.errors import WebinferError
from webinfer.core.options import Backend
from webinfer.core.statistics.interval import Interval, bootstrap
from webinfer.models.preprocessing.audio_features import LogMel, mel_filters
from webinfer.models.preprocessing.reader import Reader
from webinfer.pool.pool import Pool

log = logging.getLogger("webinfer.hearing")

Workgroup = tuple[int, int]

DEFAULT: Workgroup = (64, 1)  # what is advised where nothing was measured
SHAPES: tuple[Workgroup, ...] = (DEFAULT, (32, 1), (128, 1), (256, 1), (8, 8), (16, 16), (4, 16), (32, 4))
"""Workgroups that are tried, across frames and down rows."""

_ROUNDS = 5
_TIMEOUT = 60.0  # seconds, for one spectrogram


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured on an adapter.

    Attributes:
        workgroup: The shape to take: the default, unless another is faster beyond doubt.
        milliseconds: Median time of each shape.
        gain: How many times as fast as the default that shape is.
    """

    workgroup: Workgroup
    milliseconds: Mapping[Workgroup, float]
    gain: Interval

    @classmethod
    def of(cls, times: Mapping[Workgroup, Sequence[float]]) -> Tuning:
        """Judge the times of shapes that took turns, each list in the order of the rounds."""
        medians = {shape: statistics.median(taken) for shape, taken in times.items()}
        best = min(medians, key=lambda shape: medians[shape])
        gain = bootstrap([plain / taken for plain, taken in zip(times[DEFAULT], times[best], strict=True)])
        if gain.low <= 1:
            best, gain = DEFAULT, Interval(1.0, 1.0, 1.0)
        return cls(best, medians, gain)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Tuning:
        """Read what ``to_dict`` returned.

        Raises:
            KeyError: A part is missing.
            TypeError: A part is something else.
            ValueError: A part cannot be.
        """
        milliseconds = {parse(name): float(taken) for name, taken in kept["milliseconds"].items()}
        return cls(parse(kept["workgroup"]), milliseconds, Interval(**kept["gain"]))

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "workgroup": name(self.workgroup),
            "default": name(DEFAULT),
            "milliseconds": {name(shape): taken for shape, taken in self.milliseconds.items()},
            "gain": self.gain.to_dict(),
        }


class Heard(dict[str, NDArray[Any]]):
    """Features by input, and the workgroup of the shader that made them."""

    def __init__(self, features: Mapping[str, NDArray[Any]], workgroup: Workgroup) -> None:
        super().__init__(features)
        self.audio_shader = name(workgroup)


def name(workgroup: Workgroup) -> str:
    """Return a shape as people write it: ``256x1x1``."""
    return f"{workgroup[0]}x{workgroup[1]}x1"


def parse(text: str) -> Workgroup:
    """Read what ``name`` returned.

    Raises:
        ValueError: It is something else.
    """
    sizes = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x1", text)
    if sizes is None:
        raise ValueError(f"{text} is no workgroup of this shader")
    return int(sizes[1]), int(sizes[2])


async def hear(
    lane: Lane, features: LogMel, samples: NDArray[np.float32], workgroup: Workgroup = DEFAULT
) -> tuple[dict[str, NDArray[Any]], float]:
    """Return what ``features`` would make of samples, made on a lane's GPU, and the milliseconds that it took there.

    Raises:
        TimeoutError: It took over a minute.
        WebinferError: As the lane reported it.
    """
    filters = mel_filters(features.rate, features.window, features.mels).astype(np.float32)
    tensors = {"samples": np.ascontiguousarray(samples[: features.length], np.float32), "filters": filters}
    answer = await lane.features(tensors, features.length, features.hop, workgroup, _TIMEOUT)
    return {"input_features": answer.tensors["input_features"]}, float(answer.fields["timing"]["run"])


async def tune(lane: Lane, features: LogMel, rounds: int = _ROUNDS) -> Tuning:
    """Measure each shape on a lane, in turns.

    Raises:
        TimeoutError: One took over a minute.
        WebinferError: As the lane reported it.
    """
    samples = np.random.default_rng(0).standard_normal(features.length, np.float32)
    times: dict[Workgroup, list[float]] = {shape: [] for shape in SHAPES}
    for turn in range(rounds + 1):
        for shape, taken in times.items():
            _, milliseconds = await hear(lane, features, samples, shape)
            if turn:  # in the first, shaders are compiled
                taken.append(milliseconds)
    return Tuning.of(times)


class Memory:
    """What was measured on each adapter, in a file of the cache."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The file."""
        return self._path or cache_dir() / "audio-shaders.json"

    def get(self, capabilities: Capabilities) -> Tuning | None:
        """Return what was measured on such an adapter in that version of the engine."""
        try:
            return Tuning.from_dict(self._read()[_key(capabilities)])
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, capabilities: Capabilities, tuning: Tuning) -> None:
        """Keep what was measured."""
        path = self.path
        with FileLock(path.with_suffix(".lock")):
            kept = {**self._read(), _key(capabilities): {**tuning.to_dict(), "measured": time.time()}}
            handle, partial = tempfile.mkstemp(prefix=".audio-shaders.", dir=path.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=1)
            Path(partial).replace(path)  # in one step, so that a reader never sees half of it

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}


class Tuned:
    """Makes spectrograms in the workgroup that is fastest on a lane's adapter, which is measured when first asked."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory or Memory()
        self._known: dict[str, Tuning] = {}
        self._measuring = asyncio.Lock()

    async def hear(self, lane: Lane, features: LogMel, samples: NDArray[np.float32]) -> Heard:
        """Return what ``features`` would make of samples.

        Raises:
            TimeoutError: It took over a minute.
            WebinferError: As the lane reported it.
        """
        workgroup = (await self.tuning(lane, features)).workgroup
        made, _ = await hear(lane, features, samples, workgroup)
        return Heard(made, workgroup)

    async def tuning(self, lane: Lane, features: LogMel) -> Tuning:
        """Return what is known of a lane's adapter, measured now if nothing is."""
        key = _key(lane.capabilities)
        async with self._measuring:  # two that measure at once would measure each other
            if key not in self._known:
                found = await asyncio.to_thread(self._memory.get, lane.capabilities)
                if found is None:
                    found = await tune(lane, features)
                    best = found.gain
                    log.info(
                        "%s: log-mel in workgroups of %s, %.2f (%.2f-%.2f) times as fast as %s",
                        key,
                        name(found.workgroup),
                        best.estimate,
                        best.low,
                        best.high,
                        name(DEFAULT),
                    )
                    await asyncio.to_thread(self._memory.put, lane.capabilities, found)
                self._known[key] = found
            return self._known[key]


def _key(capabilities: Capabilities) -> str:
    return f"{capabilities.engine} {capabilities.engine_version}, {capabilities.adapter}"


class Ears:
    """What a model hears with: the shader, where the option ``audio_shaders`` is on and it runs on WebGPU; else numpy.

    Args:
        pool: Its lanes.
        backend: Backend that runs the model.
        reader: Its feature extractor.
    """

    def __init__(self, pool: Pool, backend: Backend, reader: Reader) -> None:
        self._pool = pool
        self._reader = reader
        self._tuned = Tuned() if pool.options.audio_shaders and backend == "webgpu" else None

    async def prepare(self, inputs: Any) -> Any:
        """Return inputs with their images and recordings as tensors; what holds none, as it is.

        Raises:
            InputError: As ``Reader.prepare_files``.
        """
        if not self._reader.holds_files(inputs):
            return inputs
        if self._tuned is None:
            return await asyncio.to_thread(self._reader.prepare_files, inputs)
        loop, shaders = asyncio.get_running_loop(), set()

        def make(samples: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
            made = asyncio.run_coroutine_threadsafe(self.hear(samples), loop).result()
            shaders.add(made.audio_shader if isinstance(made, Heard) else None)
            return made

        tensors = await asyncio.to_thread(self._reader.prepare_files, inputs, make)
        shader = shaders.pop() if len(shaders) == 1 else None  # all of it was made so, or it does not count
        return tensors if shader is None else Heard(tensors, parse(shader))

    async def hear(self, samples: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """Return what the model's feature extractor makes of samples, as ``Heard`` where the shader made it."""
        features, lane = self._reader.features, self._lane()
        if self._tuned is not None and lane is not None and isinstance(features, LogMel):
            try:
                return await self._tuned.hear(lane, features, samples)
            except (TimeoutError, WebinferError) as error:
                log.warning("the processor makes the features, as lane %s could not: %s", lane.id, error)
        return await asyncio.to_thread(features, samples)

    def _lane(self) -> Lane | None:
        """Return the lane with a GPU that has least to do."""
        lanes = self._pool.lanes
        able = [state for state in self._pool.lane_states.values() if "webgpu" in state.backends and state.id in lanes]
        return lanes[min(able, key=lambda state: state.running).id] if able else None
