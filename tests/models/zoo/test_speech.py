"""Models of speech that are built here compute what their architectures say."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InvalidModel
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.audio.configurations import wav2vec2_configs, whisper_configs
from webinfer.models.zoo.architectures.audio.wav2vec2 import wav2vec2
from webinfer.models.zoo.architectures.audio.whisper import sinusoids, whisper
from webinfer.models.zoo.formats.ctranslate2 import ctranslate2_arrays
from webinfer.models.zoo.formats.graph import save_all
from webinfer.models.zoo.wheels.audio import whisper_weights

Array = NDArray[Any]
WHISPER: dict[str, Any] = whisper_configs("tiny")["config.json"] | {
    "d_model": 24,
    "num_mel_bins": 5,
    "max_source_positions": 12,
    "max_target_positions": 10,
    "vocab_size": 50,
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 3 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 40 for side in ("encoder", "decoder")},
}
WAV2VEC2: dict[str, Any] = wav2vec2_configs()["config.json"] | {
    "conv_dim": [6, 6, 8],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 3,
    "num_conv_pos_embedding_groups": 4,
    "num_conv_pos_embeddings": 8,
    "num_hidden_layers": 2,
}


def loud(name: str, shape: tuple[int, ...]) -> Array:
    """Return weights far from their initial values, so that no term can be forgotten without being seen."""
    generator = np.random.default_rng(list(name.encode()))
    return np.asarray(generator.standard_normal(shape) * 0.3 + ("norm.weight" in name), np.float32)


def get(name: str, *shape: int) -> Array:
    return loud(name, shape).astype(np.float64)


def dense(x: Array, name: str, size_out: int, *, bias: bool = True) -> Array:
    return np.asarray(
        x @ get(f"{name}.weight", size_out, x.shape[-1]).T + (get(f"{name}.bias", size_out) if bias else 0)
    )


def norm(x: Array, name: str) -> Array:
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return np.asarray(scaled * get(f"{name}.weight", x.shape[-1]) + get(f"{name}.bias", x.shape[-1]))


def gelu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))


def convolve(x: Array, weight: Array, *, stride: int = 1, groups: int = 1) -> Array:
    """Correlate (channels, time) with (out, channels / groups, kernel), one output at a time."""
    out, size, kernel = weight.shape
    frames = (x.shape[1] - kernel) // stride + 1
    made = np.zeros((out, frames))
    for channel in range(out):
        first = channel // (out // groups) * size
        for frame in range(frames):
            window = x[first : first + size, frame * stride : frame * stride + kernel]
            made[channel, frame] = float((window * weight[channel]).sum())
    return made


def attend(query: Array, key: Array, value: Array, heads: int, *, causal: bool = False) -> Array:
    """Attend one head and one query at a time; a causal one sees as many keys as its own position says."""
    mixed = np.zeros_like(query)
    size = query.shape[1] // heads
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for row in range(len(query)):
            seen = slice(0, len(key) - len(query) + row + 1 if causal else None)
            scores = key[seen, part] @ query[row, part] / math.sqrt(size)
            chances = np.exp(scores - scores.max())
            mixed[row, part] = chances / chances.sum() @ value[seen, part]
    return mixed


def whisper_attention(x: Array, source: Array, name: str, heads: int = 3, *, causal: bool = False) -> Array:
    width = x.shape[1]
    query = dense(x, f"{name}.q_proj", width)
    key, value = dense(source, f"{name}.k_proj", width, bias=False), dense(source, f"{name}.v_proj", width)
    return dense(attend(query, key, value, heads, causal=causal), f"{name}.out_proj", width)


def whisper_inner(x: Array, layer: str) -> Array:
    y = norm(x, f"{layer}.final_layer_norm")
    return x + dense(gelu(dense(y, f"{layer}.fc1", 40)), f"{layer}.fc2", 24)


def whisper_reference(features: Array, ids: list[int]) -> tuple[Array, Array]:
    """Compute Whisper in plain NumPy, float64: the encoder's hidden state and the logits of every token."""
    x = features.astype(np.float64)
    for part, size_in, stride in (("conv1", 5, 1), ("conv2", 24, 2)):
        name = f"model.encoder.{part}"
        padded = np.pad(x, ((0, 0), (1, 1)))
        x = gelu(
            convolve(padded, get(f"{name}.weight", 24, size_in, 3), stride=stride) + get(f"{name}.bias", 24)[:, None]
        )
    x = x.T + get("model.encoder.embed_positions.weight", 12, 24)
    for number in range(2):
        layer = f"model.encoder.layers.{number}"
        y = norm(x, f"{layer}.self_attn_layer_norm")
        x = whisper_inner(x + whisper_attention(y, y, f"{layer}.self_attn"), layer)
    heard = norm(x, "model.encoder.layer_norm")
    words = get("model.decoder.embed_tokens.weight", 50, 24)
    x = words[ids] + get("model.decoder.embed_positions.weight", 10, 24)[: len(ids)]
    for number in range(2):
        layer = f"model.decoder.layers.{number}"
        y = norm(x, f"{layer}.self_attn_layer_norm")
        x = x + whisper_attention(y, y, f"{layer}.self_attn", causal=True)
        y = norm(x, f"{layer}.encoder_attn_layer_norm")
        x = whisper_inner(x + whisper_attention(y, heard, f"{layer}.encoder_attn"), layer)
    return heard, norm(x, "model.decoder.layer_norm") @ words.T


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[NativeSession, NativeSession]:
    directory = tmp_path_factory.mktemp("whisper")
    save_all(whisper(WHISPER), directory, loud)
    encoder, decoder = (NativeSession(resolve(directory / f"{name}.onnx")) for name in whisper(WHISPER))
    return encoder, decoder


def past_of(made: dict[str, Array]) -> dict[str, Array]:
    return {
        name.replace("present", "past_key_values"): array for name, array in made.items() if name.startswith("present")
    }


def test_whisper_equals_plain_numpy_at_once_and_step_by_step(parts: tuple[NativeSession, NativeSession]) -> None:
    encoder, decoder = parts
    features = np.random.default_rng(2).standard_normal((1, 5, 24)).astype(np.float32)
    heard = encoder.run({"input_features": features})
    ids = [3, 41, 7, 7, 0, 22]
    hidden, logits = whisper_reference(features[0], ids)
    np.testing.assert_allclose(heard["last_hidden_state"][0], hidden, atol=1e-5)
    for steps in ([6], [2, 1, 1, 1, 1], [1, 3, 2]):
        past = past_of(heard) | {
            f"past_key_values.{number}.decoder.{kind}": np.zeros((1, 3, 0, 8), np.float32)
            for number in range(2)
            for kind in ("key", "value")
        }
        got, at = [], 0
        for step in steps:
            made = decoder.run({"input_ids": np.array([ids[at : at + step]]), **past})
            past |= past_of(made)
            got.append(made["logits"][0])
            at += step
        np.testing.assert_allclose(np.concatenate(got), logits, atol=2e-5)


def wav2vec2_reference(samples: Array) -> Array:
    """Compute wav2vec 2.0 in plain NumPy, float64."""
    x, size = samples.astype(np.float64)[None], 1
    for number, (channels, kernel, stride) in enumerate([(6, 10, 5), (6, 3, 2), (8, 2, 2)]):
        name = f"wav2vec2.feature_extractor.conv_layers.{number}"
        x, size = convolve(x, get(f"{name}.conv.weight", channels, size, kernel), stride=stride), channels
        if number == 0:
            scaled = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
            x = scaled * get(f"{name}.layer_norm.weight", 6)[:, None] + get(f"{name}.layer_norm.bias", 6)[:, None]
        x = gelu(x)
    x = dense(norm(x.T, "wav2vec2.feature_projection.layer_norm"), "wav2vec2.feature_projection.projection", 24)
    name = "wav2vec2.encoder.pos_conv_embed.conv"
    around = convolve(np.pad(x.T, ((0, 0), (4, 4))), get(f"{name}.weight", 24, 6, 8), groups=4)[:, : len(x)]
    x = norm(x + gelu(around + get(f"{name}.bias", 24)[:, None]).T, "wav2vec2.encoder.layer_norm")
    for number in range(2):
        layer = f"wav2vec2.encoder.layers.{number}"
        query, key, value = (dense(x, f"{layer}.attention.{part}_proj", 24) for part in "qkv")
        x = norm(x + dense(attend(query, key, value, 3), f"{layer}.attention.out_proj", 24), f"{layer}.layer_norm")
        wide = gelu(dense(x, f"{layer}.feed_forward.intermediate_dense", 40))
        x = norm(x + dense(wide, f"{layer}.feed_forward.output_dense", 24), f"{layer}.final_layer_norm")
    return dense(x, "lm_head", 32)


@pytest.mark.parametrize("samples", [200, 333])
def test_wav2vec2_equals_plain_numpy(tmp_path: Path, samples: int) -> None:
    wav2vec2(WAV2VEC2).save(tmp_path / "wav2vec2.onnx", loud)
    sound = np.random.default_rng(4).standard_normal((2, samples)).astype(np.float32)
    got = NativeSession(resolve(tmp_path / "wav2vec2.onnx")).run({"input_values": sound})["logits"]
    np.testing.assert_allclose(got, [wav2vec2_reference(one) for one in sound], atol=1e-4)


def test_built_files_are_what_the_full_checker_accepts(tmp_path: Path) -> None:
    save_all(whisper(WHISPER) | {"letters": wav2vec2(WAV2VEC2)}, tmp_path, loud)
    for path in tmp_path.iterdir():
        onnx.checker.check_model(str(path), full_check=True)


@pytest.mark.parametrize("change", [{"activation_function": "relu"}, {"scale_embedding": True}])
def test_whispers_that_cannot_be_built_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        whisper(WHISPER | change)


@pytest.mark.parametrize("change", [{"feat_extract_norm": "layer"}, {"do_stable_layer_norm": True}])
def test_wav2vec2s_that_cannot_be_built_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        wav2vec2(WAV2VEC2 | change)


def test_sizes_are_those_of_the_published_models() -> None:
    parameters = {
        name: sum(graph.nbytes for graph in graphs.values()) // 4
        for name, graphs in {
            "tiny": whisper(whisper_configs("tiny")["config.json"]),
            "tiny.en": whisper(whisper_configs("tiny.en")["config.json"]),
            "wav2vec2": {"model": wav2vec2(wav2vec2_configs()["config.json"])},
        }.items()
    }
    # 37,760,640 and 37,760,256 in the checkpoints of OpenAI; 94,396,320 in facebook/wav2vec2-base-960h, less the 768 of
    # a vector for hidden frames that only training uses, and the 128 by which its normalized weight is scaled.
    assert parameters == {"tiny": 37_760_640, "tiny.en": 37_760_256, "wav2vec2": 94_396_320 - 768 - 128}


def test_positions_of_the_encoder_are_sines_beside_cosines() -> None:
    table = sinusoids(1500, 384)
    assert table.shape == (1500, 384)
    assert table[0].tolist() == [0] * 192 + [1] * 192
    assert table[7, 0] == pytest.approx(math.sin(7))
    assert table[7, 383] == pytest.approx(math.cos(7 / 10_000))


def ct2(arrays: dict[str, Array], *, version: int = 6, aliases: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Write arrays as CTranslate2 does."""
    kinds = {np.dtype(np.float32): 0, np.dtype(np.float16): 4}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    made = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        made += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        made += struct.pack("<BI", kinds[array.dtype], array.nbytes) + array.tobytes()
    return made + struct.pack("<I", len(aliases)) + b"".join(text(one) + text(other) for one, other in aliases)


def test_ctranslate2_weights_are_found_by_transformers_names(tmp_path: Path) -> None:
    whole = np.arange(18, dtype=np.float16).reshape(9, 2)
    arrays: dict[str, Array] = {
        "encoder/layer_1/self_attention/linear_0/weight": whole,
        "decoder/layer_0/attention/layer_norm/gamma": np.ones(4, np.float32),
        "decoder/embeddings/weight": np.zeros((3, 2), np.float32),
    }
    (tmp_path / "model.bin").write_bytes(ct2(arrays, aliases=(("tied", "decoder/embeddings/weight"),)))
    stored = ctranslate2_arrays(tmp_path / "model.bin")
    weights = whisper_weights(stored)
    np.testing.assert_array_equal(weights("model.encoder.layers.1.self_attn.v_proj.weight", (3, 2)), whole[6:])
    assert weights("model.decoder.layers.0.encoder_attn_layer_norm.weight", (4,)).tolist() == [1] * 4
    assert stored("tied").shape == weights("model.decoder.embed_tokens.weight", (3, 2)).shape
    with pytest.raises(ValueError, match=r"has the shape \(3, 2\), not \(4, 2\)"):
        weights("model.encoder.layers.1.self_attn.q_proj.weight", (4, 2))


def test_files_that_are_not_ctranslate2s_are_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "model.bin", ct2({"a": np.zeros((4, 4), np.float32)})
    for contents, said in (
        (b"", "cut off"),
        (ct2({}, version=3), "version 3"),
        (whole[:-20], "cut off|arrays end at"),
        (whole + b"more", "arrays end at"),
        (b"\6\0\0\0\xff\xff" + b"\xff" * 40, "cut off"),
    ):
        path.write_bytes(contents)
        with pytest.raises(InvalidModel, match=said):
            ctranslate2_arrays(path)
