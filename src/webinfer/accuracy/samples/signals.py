"""Pictures and sounds that are computed, with the statistics of photographs and of speech."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RATE = 16_000  # samples per second
SECONDS = 6  # of a sound


def picture(random: np.random.Generator, side: int = 256) -> Image.Image:
    """Return a picture whose parts are correlated as a photo's are: noise with a spectrum of 1/f, and some shapes.

    Args:
        random: Chooses the values.
        side: Pixels each way.
    """
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    falloff = 1 / np.maximum(np.hypot(rows, columns), 1 / side)
    mixing = random.standard_normal((3, 3)) * 0.4 + 1.0
    noise = np.fft.ifft2(np.fft.fft2(random.standard_normal((3, side, side))) * falloff).real
    noise = np.tensordot(mixing, noise / noise.std(), 1)
    for _ in range(6):
        top, left = random.integers(0, side * 3 // 4, 2)
        height, width = random.integers(8, side // 2, 2)
        noise[:, top : top + height, left : left + width] += random.standard_normal((3, 1, 1)) * 2
    pixels = np.clip(noise / (noise.std() * 4) + random.uniform(0.3, 0.7), 0, 1) * 255
    return Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8))


def speech(random: np.random.Generator) -> NDArray[np.float32]:
    """Return six seconds of sound with what speech has: gliding tones with harmonics, noise, pauses.

    Args:
        random: Chooses the values.

    Returns:
        Samples at 16 kHz, at most 0.6 in magnitude.
    """
    time = np.arange(SECONDS * RATE) / RATE
    samples = random.standard_normal(len(time)) * 0.003
    for start, length in _syllables(random):
        spoken = (time >= start) & (time < start + length)
        local = time[spoken] - start
        glide = np.linspace(random.uniform(90, 260), random.uniform(90, 260), int(spoken.sum()))
        pitch = 2 * np.pi * np.cumsum(glide) / RATE
        voice = sum(
            np.sin(pitch * k) * np.exp(-(((k * 170 - random.uniform(300, 2500)) / 900) ** 2)) for k in range(1, 18)
        )
        hiss = random.standard_normal(spoken.sum()) * random.choice([0.0, 0.0, 0.2])
        samples[spoken] += (voice * 0.15 + hiss) * np.sin(np.pi * local / length)
    loud: NDArray[np.float32] = (samples / np.abs(samples).max() * 0.6).astype(np.float32)
    return loud


def _syllables(random: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Yield the start and the length of each syllable, in seconds."""
    start = 0.2
    while start < SECONDS - 0.5:
        length = random.uniform(0.08, 0.3)
        yield start, length
        start += length + random.choice([0.02, 0.05, 0.3])
