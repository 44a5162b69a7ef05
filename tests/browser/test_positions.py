"""Sequences up to the end of a model's table of positions, and beyond it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import BACKENDS
from tests.models.zoo.test_encoders import CONFIG, loud
from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InputTooLong
from webinfer.models.zoo.architectures.text.bert import bert

LONGEST = CONFIG["max_position_embeddings"]  # between two buckets


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    bert(CONFIG).save(tmp_path / "model.onnx", loud)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


@pytest.mark.parametrize("backend", BACKENDS["embedded"])
def test_sequence_is_answered_up_to_the_last_position_and_refused_beyond_it(
    embedded: Accelerator, encoder: Path, backend: Any
) -> None:
    ids = np.arange(LONGEST + 1)[None] % CONFIG["vocab_size"]
    fitting = {"input_ids": ids[:, :LONGEST], "attention_mask": np.ones((1, LONGEST), np.int64)}
    with embedded.load(encoder, platform=backend) as model:
        before = model.run(fitting)
        known = embedded.snapshot()
        with pytest.raises(InputTooLong, match="holds 21 tokens"):
            model.run({"input_ids": ids})
        with pytest.raises(InputTooLong, match="holds 21 tokens"):
            model.run_batch([fitting, {"input_ids": ids}])
        seen = embedded.snapshot()
        after = model.run(fitting)
        native = NativeSession(model.package).run({**fitting, "token_type_ids": np.zeros((1, LONGEST), np.int64)})
    assert (seen.totals.runs, seen.errors) == (known.totals.runs, known.errors)  # nothing was sent
    assert before.lane == after.lane
    np.testing.assert_allclose(after["last_hidden_state"], native["last_hidden_state"], atol=1e-3)
    np.testing.assert_array_equal(after["last_hidden_state"], before["last_hidden_state"])
