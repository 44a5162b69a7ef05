"""Workgroups of the audio shader are written as people write them."""

from __future__ import annotations

import pytest

from webinfer.inference.probes.audio import SHAPES, name, parse


def test_shapes_are_written_as_people_write_them() -> None:
    assert name((256, 1)) == "256x1x1"
    assert [parse(name(shape)) for shape in SHAPES] == list(SHAPES)
    for bad in ("256x1", "0x1x1", "8x8x8", "wide"):
        with pytest.raises(ValueError, match="no workgroup"):
            parse(bad)
