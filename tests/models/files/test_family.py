"""A model's family follows from its configuration, else from its inputs."""

from __future__ import annotations

from typing import Any

import pytest

from webinfer.core.tensors import Signature, TensorSpec
from webinfer.models.files.family import family


@pytest.mark.parametrize(
    ("config", "inputs", "expected"),
    [
        ({"model_type": "bert"}, [], "text_embedding"),
        ({"model_type": "vit"}, [], "vision"),
        ({"model_type": "whisper"}, ["input_ids"], "audio"),
        ({"model_type": "llama"}, ["input_ids"], "text_generation"),
        ({"model_type": "clip"}, ["pixel_values"], "multimodal"),
        ({"model_type": "novel", "architectures": ["NovelForCausalLM"]}, ["input_ids"], "text_generation"),
        ({"architectures": ["NovelForCTC"]}, [], "audio"),
        ({"model_type": "novel", "architectures": ["NovelModel"]}, ["input_ids", "attention_mask"], "text_embedding"),
        ({}, ["input_ids", "pixel_values"], "multimodal"),
        ({}, ["pixel_values"], "vision"),
        ({}, ["input_values"], "audio"),
        ({}, ["input_ids", "past_key_values.0.key"], "text_generation"),
        ({}, ["x"], "unknown"),
        ({"model_type": 3, "architectures": None}, ["x"], "unknown"),
        ({"model_type": ["bert"], "architectures": "BertModel"}, ["x"], "unknown"),
    ],
)
def test_family_is_told(config: dict[str, Any], inputs: list[str], expected: str) -> None:
    assert family(config, Signature(tuple(TensorSpec(name, "int64", ()) for name in inputs), ())) == expected
