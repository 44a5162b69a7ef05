"""Which workgroup is taken, and how it is remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from webinfer.core.capabilities import Adapter, Capabilities
from webinfer.inference.probes.audio import DEFAULT, SHAPES, Memory, Tuning, name, parse

STEADY = {shape: [4.0, 4.1, 4.2, 4.3, 4.4] for shape in SHAPES}


def test_a_shape_that_is_faster_in_every_round_is_taken() -> None:
    tuning = Tuning.of({**STEADY, (256, 1): [2.0, 2.1, 2.1, 2.2, 2.2]})
    assert tuning.workgroup == (256, 1)
    assert tuning.gain.low > 1.9
    assert tuning.milliseconds[DEFAULT] == 4.2


def test_a_shape_that_is_faster_only_at_times_is_not() -> None:
    tuning = Tuning.of({**STEADY, (256, 1): [1.0, 9.0, 4.0, 9.0, 4.0]})
    assert tuning.workgroup == DEFAULT
    assert tuning.gain.estimate == 1


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "audio-shaders.json")


def test_what_was_measured_is_remembered_by_adapter_and_version(memory: Memory, capabilities: Capabilities) -> None:
    tuning = Tuning.of({**STEADY, (8, 8): [2.0, 2.1, 2.1, 2.2, 2.2]})
    other = replace(capabilities, engine_version="999")
    memory.put(capabilities, tuning)
    memory.put(other, Tuning.of(STEADY))
    assert Memory(memory.path).get(capabilities) == tuning
    assert Memory(memory.path).get(other) == Tuning.of(STEADY)
    assert memory.get(replace(capabilities, adapter=Adapter(description="another"))) is None


@pytest.mark.parametrize("contents", ["", "[]", '{"a": 1}', "{"])
def test_a_file_that_was_damaged_is_forgotten(memory: Memory, capabilities: Capabilities, contents: str) -> None:
    memory.path.write_text(contents.replace('"a"', '"' + "firefox 153.0, GPU" + '"'))
    assert memory.get(capabilities) is None
    memory.put(capabilities, Tuning.of(STEADY))
    assert memory.get(capabilities) is not None


@pytest.fixture
def capabilities() -> Capabilities:
    gpu = {"available": True, "adapter": {"description": "GPU"}}
    return Capabilities.of({"engine": "firefox", "engine_version": "153.0", "webgpu": gpu})


def test_shapes_are_written_as_people_write_them() -> None:
    assert name((256, 1)) == "256x1x1"
    assert [parse(name(shape)) for shape in SHAPES] == list(SHAPES)
    for bad in ("256x1", "0x1x1", "8x8x8", "wide"):
        with pytest.raises(ValueError, match="no workgroup"):
            parse(bad)
