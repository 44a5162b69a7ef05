"""Sound to samples: files of every format that libsndfile reads, to one channel at the rate that a model wants."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import InvalidAudio

Samples = NDArray[np.float32]
Audio = str | os.PathLike[str] | bytes | NDArray[Any] | Mapping[str, Any]
"""A path; a file's contents; samples at the model's rate; or ``{"array": samples, "sampling_rate": hertz}``."""

_BLOCK = 1 << 18  # samples per channel that are decoded at a time, so that only one channel is ever held whole
_HIGHEST = 2_000_000  # hertz; above this a stated rate is a broken header, not a recording


def read_audio(audio: Audio, rate: int) -> Samples:
    """Return a recording as one channel at a rate.

    Several channels become their mean. Another rate is converted with soxr's high quality.

    Args:
        audio: A path, a file's contents, or samples: float32 or float64 of shape (samples,) in -1 to 1, or int16 or
            int32 of their full range, taken to be at ``rate`` unless a mapping says otherwise.
        rate: Samples per second wanted.

    Returns:
        float32 of shape (samples,).

    Raises:
        InvalidAudio: It is no sound, holds no samples, or holds samples that are not finite.
    """
    if isinstance(audio, np.ndarray):
        return _checked(_resampled([_floats(audio)], rate, rate), "The array")
    if isinstance(audio, Mapping):
        samples, own = _from_mapping(audio)
        return _checked(_resampled([_floats(samples)], own, rate), "The array")
    if isinstance(audio, bytes):
        return _checked(_decode(io.BytesIO(audio), rate, "The bytes"), "The bytes")
    if not isinstance(audio, str | os.PathLike):
        raise InvalidAudio(f"A {type(audio).__name__} is no audio: pass a path, bytes, an array, or a mapping of both.")
    path = Path(audio).expanduser()
    try:
        with path.open("rb") as file:
            return _checked(_decode(file, rate, str(path)), str(path))
    except OSError as error:
        raise InvalidAudio(f"{path} cannot be read: {error.strerror}.", path=str(path)) from error


def _decode(file: IO[bytes], rate: int, name: str) -> Samples:
    import soundfile

    try:
        with soundfile.SoundFile(file) as sound:
            if not 0 < sound.samplerate <= _HIGHEST:
                raise InvalidAudio(f"{name} states {sound.samplerate} samples per second, which cannot be.")
            return _resampled(_mono(sound), sound.samplerate, rate)
    except soundfile.LibsndfileError as error:
        raise InvalidAudio(
            f"{name} is no audio that can be read ({error.error_string.rstrip('.')}). WAV, FLAC, OGG, MP3 and AIFF "
            "can; convert others, for example with ffmpeg."
        ) from error


def _mono(sound: Any) -> Iterator[Samples]:
    """Yield a file's samples block by block, as the mean of its channels."""
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def _resampled(blocks: Iterator[Samples] | list[Samples], own: int, rate: int) -> Samples:
    if own == rate:
        return _joined(list(blocks))
    import soxr

    stream = soxr.ResampleStream(own, rate, 1, dtype="float32")
    parts = [stream.resample_chunk(block) for block in blocks]
    parts.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    return _joined(parts)


def _joined(parts: list[Samples]) -> Samples:
    # The empty part keeps the dtype where there are no parts at all.
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])


def _from_mapping(audio: Mapping[str, Any]) -> tuple[NDArray[Any], int]:
    samples = audio.get("array", audio.get("raw"))
    own = audio.get("sampling_rate")
    if samples is None or not isinstance(own, int | np.integer) or not 0 < own <= _HIGHEST:
        raise InvalidAudio(f"Audio as a mapping needs 'array' and 'sampling_rate' in hertz; given: {', '.join(audio)}.")
    return np.asarray(samples), int(own)


def _floats(samples: NDArray[Any]) -> Samples:
    if samples.ndim != 1:
        raise InvalidAudio(f"Samples have the shape (samples,), not {samples.shape}: pass the mean of the channels.")
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype in (np.int16, np.int32):
        # By the magnitude of the lowest value: full scale becomes -1 to just below 1.
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    raise InvalidAudio(f"Samples are float32, float64, int16 or int32, not {samples.dtype}.")


def _checked(samples: Samples, name: str) -> Samples:
    if not len(samples):
        raise InvalidAudio(f"{name} holds no samples: there is nothing to hear in it.")
    if not np.isfinite(samples).all():
        raise InvalidAudio(f"{name} holds samples that are not finite numbers.")
    return samples
