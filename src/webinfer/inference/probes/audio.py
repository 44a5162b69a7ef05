"""Whisper's log-mel spectrogram on the GPU, in workgroups of the shape that the tuner found to be the fastest."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.browsers.lane import Lane
from webinfer.core.errors import WebinferError
from webinfer.inference.route import Choice
from webinfer.models.preprocessing.audio_features import LogMel, mel_filters
from webinfer.models.preprocessing.reader import Reader
from webinfer.pool.pool import Pool

log = logging.getLogger("webinfer.hearing")

Workgroup = tuple[int, int]

DEFAULT: Workgroup = (64, 1)  # the usual advice, taken where nothing was measured
SHAPES: tuple[Workgroup, ...] = (DEFAULT, (32, 1), (128, 1), (256, 1), (8, 8), (16, 16), (4, 16), (32, 4))
"""Workgroups that the tuner tries: threads across frames, and down the rows of the spectrogram."""

_TIMEOUT = 60.0  # seconds, for one spectrogram


class AudioFeatures(dict[str, NDArray[Any]]):
    """Features by input, and the workgroup of the shader that made them."""

    def __init__(self, features: Mapping[str, NDArray[Any]], workgroup: Workgroup) -> None:
        super().__init__(features)
        self.audio_shader = name(workgroup)


def name(workgroup: Workgroup) -> str:
    """Return a shape as people write it: ``256x1x1``.

    Args:
        workgroup: Threads along each of three dimensions.
    """
    return f"{workgroup[0]}x{workgroup[1]}x1"


def parse(text: str) -> Workgroup:
    """Read what ``name`` returned.

    Args:
        text: Such as ``256x1x1``.

    Returns:
        Threads across frames, and down the rows of the spectrogram.

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

    Args:
        lane: A lane whose browser has WebGPU.
        features: The feature extractor.
        samples: float32 array of shape (samples,).
        workgroup: Threads along each of three dimensions.

    Raises:
        TimeoutError: It took over a minute.
        WebinferError: As the lane reported it.
    """
    filters = mel_filters(features.rate, features.window, features.mels).astype(np.float32)
    tensors = {"samples": np.ascontiguousarray(samples[: features.length], np.float32), "filters": filters}
    reply = await lane.features(tensors, features.length, features.hop, workgroup, _TIMEOUT)
    return {"input_features": reply.tensors["input_features"]}, reply.answer.timing.run


def chosen_workgroup(choice: Choice, *, is_wanted: bool) -> Workgroup | None:
    """Return the workgroup of the shader that makes a model's features of recordings.

    Args:
        choice: Where the model is loaded.
        is_wanted: Whether the option ``audio_shaders`` is on.

    Returns:
        The shape that won a contest, or the default where the shader is wanted and no contest compared shapes; ``None``
        where numpy makes the features.
    """
    if choice.backend != "webgpu":
        return None
    standings = choice.tuning.standings if choice.tuning is not None else ()
    is_contested = any(standing.candidate.workgroup is not None for standing in standings)
    shape = choice.standing.candidate.workgroup if choice.standing is not None else None
    if shape is None:
        return DEFAULT if is_wanted and not is_contested else None
    try:
        return parse(shape)
    except ValueError as error:  # the file with the result was changed
        log.warning("the default is taken: %s", error)
        return DEFAULT


class AudioInputs:
    """Makes a model's features of recordings.

    The shader makes them where there is a workgroup for it, else numpy does.

    Args:
        pool: Its lanes.
        reader: Its feature extractor.
        workgroup: Shape of the shader's workgroups; ``None`` has numpy make the features.
    """

    def __init__(self, pool: Pool, reader: Reader, workgroup: Workgroup | None) -> None:
        self._pool = pool
        self._reader = reader
        self._workgroup = workgroup

    def use_workgroup(self, text: str) -> None:
        """Have the shader run in workgroups of another shape, where it makes the features at all.

        Args:
            text: The shape, as ``name`` returns it.

        Raises:
            ValueError: It is no shape.
        """
        workgroup = parse(text)
        if self._workgroup is not None:
            self._workgroup = workgroup

    async def prepare(self, inputs: Any) -> Any:
        """Return inputs with their images and recordings as tensors; what holds none, as it is.

        Args:
            inputs: Inputs as ``Model.run`` takes them.

        Raises:
            InputError: As ``Reader.prepare_files``.
        """
        if not self._reader.holds_files(inputs):
            return inputs
        if self._workgroup is None:
            return await asyncio.to_thread(self._reader.prepare_files, inputs)
        loop, shaders = asyncio.get_running_loop(), set()

        def make(samples: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
            # This runs in a worker thread, but the lane's connection belongs to the event loop.
            features = asyncio.run_coroutine_threadsafe(self.hear(samples), loop).result()
            shaders.add(features.audio_shader if isinstance(features, AudioFeatures) else None)
            return features

        tensors = await asyncio.to_thread(self._reader.prepare_files, inputs, make)
        shader = shaders.pop() if len(shaders) == 1 else None  # all of it was made so, or it does not count
        return tensors if shader is None else AudioFeatures(tensors, parse(shader))

    async def hear(self, samples: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
        """Return what the model's feature extractor makes of samples, as ``AudioFeatures`` where the shader made it.

        Args:
            samples: float32 array of shape (samples,), at the extractor's rate.
        """
        features, lane = self._reader.features, self._lane()
        if self._workgroup is not None and lane is not None and isinstance(features, LogMel):
            try:
                tensors, _ = await hear(lane, features, samples, self._workgroup)
                return AudioFeatures(tensors, self._workgroup)
            except (TimeoutError, WebinferError) as error:
                log.warning("the processor makes the features, as lane %s could not: %s", lane.id, error)
        return await asyncio.to_thread(features, samples)

    def _lane(self) -> Lane | None:
        """Return the lane with a GPU that has least to do."""
        states = self._pool.lane_states
        able = [lane for lane in self._pool.lanes.values() if lane.capabilities.can_run("webgpu")]
        return min(able, key=lambda lane: states[lane.id].running, default=None)
