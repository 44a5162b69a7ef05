"""Weights are rounded to few bits, and a search or calibration loses less than plain rounding."""

from __future__ import annotations

import numpy as np
import pytest

from webinfer.quantization.weights.gptq import calibrated
from webinfer.quantization.weights.rounding import Floats, nearest, pack, searched


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_integers_are_packed_lowest_first(bits: int) -> None:
    levels = np.random.default_rng(3).integers(0, 2**bits, (3, 16)).astype(np.uint8)
    packed = pack(levels, bits)
    per_byte = 8 // bits
    assert packed.shape == (3, 16 // per_byte)
    for index in range(16):
        assert ((packed[:, index // per_byte] >> (bits * (index % per_byte))) & (2**bits - 1) == levels[:, index]).all()


# Of matrices this large the part differs by 0.001 from draw to draw: 0.9726, 0.9403 and 0.8508 were the worst of eight.
@pytest.mark.parametrize(("bits", "part"), [(4, 0.973), (3, 0.941), (2, 0.852)])
def test_search_loses_less_than_rounding(bits: int, part: float) -> None:
    weights = np.random.default_rng(3).standard_t(4, (480, 1280)).astype(np.float32)
    rounded, better = nearest(weights, bits, 32).restored(), searched(weights, bits, 32).restored()
    assert np.linalg.norm(weights - better) < part * np.linalg.norm(weights - rounded)


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_calibration_loses_less_than_rounding(bits: int) -> None:
    random = np.random.default_rng(3)  # its own, so that the numbers are the same whichever tests run before
    weights = random.standard_t(4, (48, 128)).astype(np.float32)
    inputs = (random.standard_normal((400, 128)) @ random.standard_normal((128, 128))).astype(np.float32)
    expected = inputs @ weights.T

    def lost(restored: Floats) -> float:
        return float(np.linalg.norm(expected - inputs @ restored.T) / np.linalg.norm(expected))

    best = calibrated(weights, bits, 32, inputs.T @ inputs).restored()
    assert lost(best) < 0.8 * lost(nearest(weights, bits, 32).restored())


def test_what_does_not_fill_a_block_is_kept_apart() -> None:
    weights = (np.random.default_rng(3).standard_normal((5, 70)) * 0.1).astype(np.float32)
    for blocks in (nearest(weights, 8, 32), calibrated(weights, 8, 32, np.eye(70, dtype=np.float32))):
        assert blocks.restored().shape == (5, 70)
        np.testing.assert_allclose(blocks.restored(), weights, atol=0.002)
