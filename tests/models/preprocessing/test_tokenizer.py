"""Texts become ids as the model expects them, and vectors as sentence-transformers makes them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from webinfer.core.errors import DtypeMismatch, EmptyBatch, InvalidModel, OptionError
from webinfer.models.preprocessing.pooling import mean_pool, normalize
from webinfer.models.preprocessing.tokenizer import Tokenizer

VOCABULARY = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "b", "c"]


@pytest.fixture
def inner() -> tokenizers.Tokenizer:
    inner = tokenizers.Tokenizer(models.WordLevel({word: at for at, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return inner


def save(inner: tokenizers.Tokenizer, directory: Path, **configs: Any) -> Tokenizer:
    inner.save(str(directory / "tokenizer.json"))
    for name, config in configs.items():
        (directory / f"{name}.json").write_text(json.dumps(config))
    return Tokenizer(directory / "tokenizer.json")


def test_texts_are_padded_to_the_longest(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    tokens = save(inner, tmp_path).encode(["a", "a b c"])
    assert tokens["input_ids"].tolist() == [[1, 4, 2, 0, 0], [1, 4, 5, 6, 2]]
    assert tokens["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert {array.dtype.name for array in tokens.values()} == {"int64"}


def test_fixed_length_in_the_file_is_not_kept(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    inner.enable_padding(length=128, direction="left", pad_id=3, pad_token="[UNK]")
    inner.enable_truncation(4)
    tokens = save(inner, tmp_path).encode(["a", "a b c"])
    assert tokens["input_ids"].tolist() == [[3, 3, 1, 4, 2], [1, 4, 5, 6, 2]]


def test_one_text_and_one_pair_are_taken_alone(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    tokenizer = save(inner, tmp_path)
    assert tokenizer.encode("a b")["input_ids"].tolist() == [[1, 4, 5, 2]]
    pair = tokenizer.encode(("a", "b"))
    assert pair["input_ids"].tolist() == [[1, 4, 2, 5, 2]]
    assert pair["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]
    assert tokenizer.encode(("a", "b", "c"))["input_ids"].shape == (3, 3)
    assert tokenizer.encode([("a", "b"), "c"])["input_ids"].tolist() == [[1, 4, 2, 5, 2], [1, 6, 2, 0, 0]]
    assert tokenizer.encode("")["input_ids"].tolist() == [[1, 2]]


def test_long_texts_are_cut_to_the_least_stated_limit(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    configs = {
        "config": {"max_position_embeddings": 9},
        "tokenizer_config": {"model_max_length": 1e30},
        "sentence_bert_config": {"max_seq_length": 6},
    }
    tokenizer = save(inner, tmp_path, **configs)
    assert tokenizer.max_length == 6
    assert tokenizer.encode("a " * 20)["input_ids"].tolist() == [[1, 4, 4, 4, 4, 2]]
    assert tokenizer.encode("a " * 20, max_length=3)["input_ids"].tolist() == [[1, 4, 2]]
    assert tokenizer.encode("a " * 20)["input_ids"].shape == (1, 6)
    with pytest.raises(OptionError, match="above 2"):
        tokenizer.encode("a", max_length=2)


def test_without_a_limit_nothing_is_cut(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    tokenizer = save(inner, tmp_path)
    assert tokenizer.max_length is None
    assert tokenizer.encode("a " * 1000)["input_ids"].shape == (1, 1002)


def test_padding_token_comes_from_the_configuration(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    config = {"eos_token": {"content": "[SEP]"}, "padding_side": "left"}
    tokens = save(inner, tmp_path, tokenizer_config=config).encode(["a", "a b"])
    assert tokens["input_ids"].tolist() == [[2, 1, 4, 2], [1, 4, 5, 2]]
    assert tokens["attention_mask"].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]


def test_threads_may_ask_for_different_lengths(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    tokenizer = save(inner, tmp_path)
    lengths = [number % 7 + 3 for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        widths = threads.map(lambda length: tokenizer.encode("a " * 20, length)["input_ids"].shape[1], lengths)
    assert list(widths) == lengths


@pytest.mark.parametrize("texts", [[], ()])
def test_no_texts_are_refused(inner: tokenizers.Tokenizer, tmp_path: Path, texts: Any) -> None:
    with pytest.raises(EmptyBatch):
        save(inner, tmp_path).encode(texts)


@pytest.mark.parametrize("item", [1, None, b"a", ["a"], ("a",), ("a", 1), "\ud800"])
def test_what_is_no_text_is_refused(inner: tokenizers.Tokenizer, tmp_path: Path, item: Any) -> None:
    with pytest.raises(DtypeMismatch):
        save(inner, tmp_path).encode(["a", item])


@pytest.mark.parametrize("contents", ["", "{}", "<html>"])
def test_broken_tokenizer_is_refused_by_name(tmp_path: Path, contents: str) -> None:
    (tmp_path / "tokenizer.json").write_text(contents)
    with pytest.raises(InvalidModel, match=r"tokenizer\.json is no tokenizer"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_broken_configuration_is_refused_by_name(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidModel, match=r"config\.json is not JSON"):
        save(inner, tmp_path)


def test_ids_become_text_again(inner: tokenizers.Tokenizer, tmp_path: Path) -> None:
    tokenizer = save(inner, tmp_path)
    assert tokenizer.decode(tokenizer.encode("b a")["input_ids"][0][1:-1]) == "b a"


def test_mean_leaves_padding_out() -> None:
    hidden = np.array([[[1, 2], [3, 4], [100, 100]], [[5, 5], [9, 9], [9, 9]], [[7, 7]] * 3], np.float16)
    pooled = mean_pool(hidden, np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]]))
    assert pooled.tolist() == [[2, 3], [5, 5], [0, 0]]
    assert pooled.dtype == np.float32


def test_normalized_vectors_have_length_one() -> None:
    scaled = normalize(np.array([[3, 4], [0, 0]]))
    np.testing.assert_allclose(scaled, np.array([[0.6, 0.8], [0, 0]]), rtol=1e-6)
    assert scaled.dtype == np.float32
