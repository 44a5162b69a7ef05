"""Recordings of every kind become one channel at the rate that a model wants."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from webinfer.core.errors import InputError, InvalidAudio
from webinfer.models.preprocessing.audio import read_audio

Array = NDArray[Any]
RATE = 16_000


def tone(rate: int, hertz: float = 440.0, seconds: float = 0.5) -> Array:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1 / 127),
        ("wav", "PCM_16", 1 / 32767),
        ("wav", "PCM_24", 1e-6),
        ("wav", "FLOAT", 1e-7),
        ("wav", "DOUBLE", 1e-7),
        ("wav", "ULAW", 0.02),
        ("flac", "PCM_16", 1 / 32767),
        ("aiff", "PCM_S8", 1 / 127),
    ],
)
def test_every_encoding_gives_the_samples_that_were_written(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(RATE), RATE, subtype=subtype)
    got = read_audio(path, RATE)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, tone(RATE), atol=tolerance)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats_keep_the_tone(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"tone.{suffix}", tone(RATE, seconds=2), RATE)
    got = read_audio(str(tmp_path / f"tone.{suffix}"), RATE)
    spectrum = np.abs(np.fft.rfft(got))
    assert np.argmax(spectrum) * RATE / len(got) == pytest.approx(440, abs=2)
    assert np.abs(got).max() == pytest.approx(0.5, rel=0.1)


def test_eight_bits_two_channels_and_a_low_rate_in_one_file(tmp_path: Path) -> None:
    """Made of bytes here, so that no library both writes and reads it."""
    rate = 11_025
    left, right = tone(rate, 440, 2), tone(rate, 1000, 2) / 2
    levels = np.rint(128 + 127 * np.stack([left, right], axis=1)).astype(np.uint8)
    with wave.open(str(tmp_path / "old.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(levels.tobytes())
    got = read_audio(tmp_path / "old.wav", RATE)
    expected = (tone(RATE, 440, 2) + tone(RATE, 1000, 2) / 2) / 2
    assert got.shape == expected.shape
    inner = slice(RATE // 10, -RATE // 10)  # the resampler rings where a tone begins and ends
    np.testing.assert_allclose(got[inner], expected[inner], atol=1.5 / 127)


def test_channels_become_their_mean(tmp_path: Path) -> None:
    left, right = tone(RATE, 440), tone(RATE, 1000) / 2
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "stereo.wav", RATE), (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_other_rates_are_converted_without_shift_or_loss(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(rate, seconds=3), rate, subtype="FLOAT")
    got = read_audio(tmp_path / "tone.wav", RATE)
    assert len(got) == pytest.approx(3 * RATE, abs=1)
    inner = slice(RATE // 10, -RATE // 10)  # the ends ring, as a tone that starts at once is not limited in its band
    np.testing.assert_allclose(got[inner], tone(RATE, seconds=3)[: len(got)][inner], atol=1e-4)


def test_what_a_lower_rate_cannot_hold_is_filtered_out_not_folded_back(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "high.wav", tone(44_100, 12_000, 2), 44_100, subtype="FLOAT")
    got = read_audio(tmp_path / "high.wav", RATE)
    assert np.abs(got[RATE // 10 : -RATE // 10]).max() < 1e-4


def test_a_long_file_is_the_same_read_in_blocks(tmp_path: Path) -> None:
    long = tone(22_050, seconds=40)
    soundfile.write(tmp_path / "long.wav", np.stack([long, -long / 2], axis=1), 22_050, subtype="FLOAT")
    whole = read_audio({"array": long / 4, "sampling_rate": 22_050}, RATE)
    np.testing.assert_allclose(read_audio(tmp_path / "long.wav", RATE), whole, atol=1e-5)


def test_bytes_paths_and_arrays_are_taken_alike(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(RATE), RATE, subtype="FLOAT")
    expected = tone(RATE).astype(np.float32)
    integers = np.round(tone(RATE) * 32768).astype(np.int16)
    for audio in (path, str(path), path.read_bytes(), tone(RATE), {"raw": expected, "sampling_rate": RATE}):
        np.testing.assert_allclose(read_audio(audio, RATE), expected, atol=1e-7)
    np.testing.assert_allclose(read_audio(integers, RATE), expected, atol=1 / 32767)
    halved = read_audio({"array": tone(8_000), "sampling_rate": 8_000}, RATE)
    assert len(halved) == pytest.approx(RATE // 2, abs=1)


def wav(samples: Array, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        (b"", "no audio that can be read"),
        (b"plain text, no sound at all", "WAV, FLAC, OGG, MP3"),
        (wav(np.zeros(0)), "no samples"),
        (wav(np.array([0.0, np.nan]), subtype="FLOAT"), "not finite"),
        (wav(tone(RATE))[:30], "no audio that can be read"),
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros((2, 100), np.float32), r"not \(2, 100\)"),
        (np.zeros(9, np.uint8), "not uint8"),
        (np.array([np.inf]), "not finite"),
        ({"array": np.zeros(9)}, "sampling_rate"),
        ({"array": np.zeros(9), "sampling_rate": 0}, "sampling_rate"),
        ({"sampling_rate": RATE}, "'array'"),
        (3, "int is no audio"),
    ],
)
def test_what_is_no_audio_ends_in_a_typed_error(audio: Any, said: str) -> None:
    with pytest.raises(InvalidAudio, match=said) as caught:
        read_audio(audio, RATE)
    assert isinstance(caught.value, InputError)
    assert caught.value.code == "input.audio"


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.wav", tmp_path):
        with pytest.raises(InvalidAudio, match=f"{path} cannot be read"):
            read_audio(path, RATE)
    (tmp_path / "image.wav").write_bytes(b"\x89PNG\r\n" * 50)
    with pytest.raises(InvalidAudio, match=r"image\.wav is no audio"):
        read_audio(tmp_path / "image.wav", RATE)


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "cut.wav").write_bytes(wav(tone(RATE))[:8044])
    np.testing.assert_allclose(read_audio(tmp_path / "cut.wav", RATE), tone(RATE)[:4000], atol=1 / 32767)
