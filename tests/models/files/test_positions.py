"""How many tokens a model has positions for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.zoo.test_encoders import CONFIG
from webinfer.core.errors import InputTooLong
from webinfer.models.files.package import describe
from webinfer.models.files.positions import Positions, longest
from webinfer.models.zoo.architectures.text.bert import bert
from webinfer.models.zoo.formats.weights import random_weights


def positions(directory: Path, config: dict[str, Any]) -> Positions:
    bert(CONFIG).save(directory / "model.onnx", random_weights(1))
    (directory / "config.json").write_text(json.dumps(config))
    return Positions.of(describe(directory / "model.onnx", "test"))


def ids(*shape: int, fill: int = 5) -> dict[str, Any]:
    return {"input_ids": np.full(shape, fill, np.int64)}


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"model_type": "bert", "max_position_embeddings": 20}, 20),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "clip", "text_config": {"max_position_embeddings": 77}}, 77),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514}, 512),
        ({"model_type": "llama", "max_position_embeddings": 2048}, 0),
        ({"model_type": "opt", "max_position_embeddings": 2048}, 0),
        ({"model_type": "deberta-v2", "max_position_embeddings": 512}, 0),
        ({"model_type": "bert", "max_position_embeddings": 8192, "position_embedding_type": "alibi"}, 0),
        ({"model_type": "bert", "max_position_embeddings": "many"}, 0),
        ({"max_position_embeddings": 20}, 0),
        ({}, 0),
    ],
    ids=lambda value: str(value.get("model_type")) if isinstance(value, dict) else str(value),
)
def test_only_a_table_of_positions_ends(tmp_path: Path, config: dict[str, Any], count: int) -> None:
    assert positions(tmp_path, config).count == count


def test_more_tokens_than_positions_are_refused_with_both_numbers(tmp_path: Path) -> None:
    told = positions(tmp_path, CONFIG)
    told.check(ids(3, 20))
    told.check({"pixel_values": np.zeros((1, 3, 64, 64), np.float32)})
    with pytest.raises(InputTooLong, match=r"holds 21 tokens, and .* has positions for 20: make it shorter") as caught:
        told.check(ids(3, 21))
    assert caught.value.data == {"input": "input_ids", "tokens": 21, "max_length": 20}
    assert not caught.value.retryable


def test_what_lies_before_counts_and_positions_that_are_given_decide(tmp_path: Path) -> None:
    told = positions(tmp_path, CONFIG)
    with pytest.raises(InputTooLong, match="holds 25 tokens"):
        told.check({**ids(1, 1), "attention_mask": np.ones((1, 25), np.int64)})
    places = np.arange(19)[None]
    told.check({**ids(1, 19), "position_ids": places, "attention_mask": np.ones((1, 25), np.int64)})
    with pytest.raises(InputTooLong, match="holds 21 tokens"):
        told.check({**ids(1, 19), "position_ids": places + 2})


def test_padding_has_no_position_where_positions_count_from_it(tmp_path: Path) -> None:
    told = positions(tmp_path, {"model_type": "roberta", "max_position_embeddings": 22, "pad_token_id": 1})
    padded = ids(2, 30, fill=1)
    padded["input_ids"][:, :20] = 5
    told.check(padded)
    padded["input_ids"][1, 20] = 5
    with pytest.raises(InputTooLong, match="holds 21 tokens"):
        told.check(padded)


def test_positions_that_are_given_are_rows_of_the_table_where_its_first_are_unused(tmp_path: Path) -> None:
    told = positions(tmp_path, {"model_type": "roberta", "max_position_embeddings": 22, "pad_token_id": 1})
    told.check({**ids(1, 20), "position_ids": np.arange(2, 22)[None]})
    with pytest.raises(InputTooLong, match=r"holds 21 tokens, and .* has positions for 20"):
        told.check({**ids(1, 20), "position_ids": np.arange(3, 23)[None]})


def test_length_that_a_model_was_made_for_is_told_of_every_kind() -> None:
    assert longest({"model_type": "llama", "max_position_embeddings": 2048}) == 2048
    assert longest({"model_type": "xlm-roberta", "max_position_embeddings": 514}) == 512
    assert longest({"model_type": "gptj", "n_positions": 2048}) == 2048
    assert longest({"n_positions": True}) is None


def test_positions_that_are_relative_do_not_end_where_training_did() -> None:
    assert longest({"model_type": "t5", "n_positions": 512}) is None
