"""Token ids beyond a model's vocabulary, which backends answer each in its own way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tests.browser.conftest import BACKENDS
from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InputError, TokenizerMismatch, TokenOutOfRange

SIZE = 7  # tokens that the model knows
WORDS = ["a", "b", "c", "d", "e", "f", "g", "h"]  # one more than these

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a model that looks its ids up in a table, with a configuration and a tokenizer."""

    def write(words: int, dtype: int = TensorProto.INT64, config: Any = None) -> Path:
        table = np.arange(SIZE * 4, dtype=np.float32).reshape(SIZE, 4)
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "input_ids"], ["y"])],
            "lookup",
            [helper.make_tensor_value_info("input_ids", dtype, ["batch", "sequence"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "sequence", 4])],
            [numpy_helper.from_array(table, "table")],
        )
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
            tmp_path / "model.onnx",
        )
        (tmp_path / "config.json").write_text(json.dumps({"vocab_size": SIZE} if config is None else config))
        vocabulary = {word: at for at, word in enumerate(WORDS[:words])}
        Tokenizer(WordLevel(vocabulary, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
        return tmp_path

    return write


@pytest.mark.parametrize("dtype", [TensorProto.INT64, TensorProto.INT32], ids=["int64", "int32"])
@pytest.mark.parametrize("backend", BACKENDS["embedded"])
def test_token_id_beyond_the_vocabulary_is_refused_on_every_backend(
    embedded: Accelerator, make: Make, backend: Any, dtype: int
) -> None:
    model = embedded.load(make(SIZE, dtype), platform=backend)
    for wrong in (SIZE, -1, 2**31 - 1):
        with pytest.raises(TokenOutOfRange, match=rf"'input_ids' holds the token id {wrong}, .* 0 to 6") as caught:
            model.run({"input_ids": [[0, wrong]]})
        assert isinstance(caught.value, InputError)
        assert caught.value.data == {"input": "input_ids", "id": wrong, "vocab_size": SIZE}
    last = {"input_ids": [[0, SIZE - 1]]}
    expected = NativeSession(model.package).run({"input_ids": model_ids(last, dtype)})["y"]
    np.testing.assert_array_equal(model.run(last)["y"], expected)


def model_ids(inputs: dict[str, Any], dtype: int) -> np.ndarray[Any, Any]:
    return np.array(inputs["input_ids"], helper.tensor_dtype_to_np_dtype(dtype))


def test_vocabulary_of_the_text_part_counts_and_none_stated_refuses_nothing(embedded: Accelerator, make: Make) -> None:
    model = embedded.load(make(SIZE, config={"text_config": {"vocab_size": 5}}), platform="wasm")
    with pytest.raises(TokenOutOfRange, match="0 to 4"):
        model.run({"input_ids": [[5]]})
    model.close()
    silent = embedded.load(make(SIZE, config={}), platform="wasm")
    assert silent.run({"input_ids": [[5]]})["y"].shape == (1, 1, 4)


def test_tokenizer_of_another_model_is_refused(embedded: Accelerator, make: Make) -> None:
    model = embedded.load(make(SIZE + 1), platform="wasm")
    for _ in range(2):
        with pytest.raises(TokenizerMismatch, match=r"has 8 tokens, and .* says vocab_size 7"):
            model.run("b")
    assert model.run({"input_ids": [[1]]})["y"].shape == (1, 1, 4)
    with embedded.load(make(SIZE), platform="wasm") as right:
        np.testing.assert_array_equal(right.run("b")["y"][0, 0], np.arange(4, 8))


def test_tokens_added_later_do_not_make_a_tokenizer_another_models(embedded: Accelerator, make: Make) -> None:
    path = make(SIZE) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_special_tokens(["<pad>"])
    tokenizer.save(str(path))
    with embedded.load(path.parent, platform="wasm") as model:
        assert model.run("b")["y"][0, 0, 0] == 4
        with pytest.raises(TokenOutOfRange):
            model.run("<pad>")
