"""Labels and filled gaps have the scores that native onnxruntime's logits give, in the form of Transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pipelines.small import WORDS, classifier, masked
from webinfer import Accelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import InputError, OptionError, TaskMismatch
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve

TEXTS = ["a good film", "the music was very very bad", "bad"]


def native(path: Path, text: Any) -> NDArray[Any]:
    """Return the logits of a text, run alone."""
    package = resolve(path)
    assert package.tokenizer is not None
    encoded = Tokenizer(package.tokenizer).encode(text)
    feeds = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    return np.asarray(NativeSession(package).run(feeds)["logits"][0])


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def labels(scores: NDArray[Any]) -> list[dict[str, Any]]:
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    return [{"label": f"label {at}", "score": pytest.approx(scores[at], abs=1e-5)} for at in order]


def test_labels_are_those_of_the_softmax(embedded: Accelerator, tmp_path: Path) -> None:
    path = classifier(tmp_path / "classifier")
    expected = [labels(softmax(native(path, text))) for text in TEXTS]
    with embedded.pipeline("text-classification", path) as classify:
        assert classify(TEXTS[0]) == expected[0][:1]
        assert classify(TEXTS) == [each[0] for each in expected]
        assert classify(TEXTS, top_k=None, batch_size=2) == expected
        assert classify(TEXTS[1], top_k=2) == expected[1][:2]
        pair = labels(softmax(native(path, ("good film", "bad music"))))
        assert classify({"text": "good film", "text_pair": "bad music"}, top_k=None) == pair
        raw = classify(TEXTS[0], function_to_apply="none")[0]["score"]
        assert raw == pytest.approx(native(path, TEXTS[0]).max(), abs=1e-4)
        with pytest.raises(OptionError, match="top_k must be above 0"):
            classify(TEXTS[0], top_k=0)
        with pytest.raises(OptionError, match="must be one of softmax"):
            classify(TEXTS[0], function_to_apply="relu")
        with pytest.raises(InputError, match="takes a text"):
            classify(7)


@pytest.mark.parametrize(
    ("config", "function"),
    [({"problem_type": "multi_label_classification"}, "sigmoid"), ({"problem_type": "regression"}, "none")],
)
def test_function_is_what_the_configuration_implies(
    embedded: Accelerator, tmp_path: Path, config: dict[str, Any], function: str
) -> None:
    path = classifier(tmp_path / "classifier", **config)
    logits = native(path, TEXTS[0])
    scores = 1 / (1 + np.exp(-logits)) if function == "sigmoid" else logits
    with embedded.pipeline("sentiment-analysis", path, top_k=None) as classify:
        assert classify(TEXTS[0]) == labels(scores)


def test_one_label_is_a_sigmoid(embedded: Accelerator, tmp_path: Path) -> None:
    path = classifier(tmp_path / "classifier", labels=1)
    with embedded.pipeline("text-classification", path) as classify:
        assert classify(TEXTS[0]) == labels(1 / (1 + np.exp(-native(path, TEXTS[0]))))


def gap(logits: NDArray[Any], text: str) -> list[dict[str, Any]]:
    scores = softmax(logits)
    order = sorted(range(len(WORDS)), key=lambda at: -scores[at])
    return [
        {
            "score": pytest.approx(scores[at], abs=1e-5),
            "token": at,
            "token_str": WORDS[at],
            # special tokens are left out of a text with one gap
            "sequence": " ".join(text.replace("[MASK]", WORDS[at] if at > 4 else "").split()),
        }
        for at in order
    ]


def test_gap_is_filled_with_the_likeliest_tokens(embedded: Accelerator, tmp_path: Path) -> None:
    path = masked(tmp_path / "masked")
    texts = ["the film was [MASK]", "[MASK] music"]
    expected = [gap(native(path, texts[0])[4], texts[0]), gap(native(path, texts[1])[1], texts[1])]
    with embedded.pipeline("fill-mask", path) as fill:
        assert fill(texts[0]) == expected[0][:5]
        assert fill(texts, top_k=3) == [expected[0][:3], expected[1][:3]]
        wanted = [each for each in expected[0] if each["token_str"] in ("bad", "good")]
        assert fill(texts[0], targets=["good", "bad"]) == wanted
        both = fill("[MASK] film was [MASK]", top_k=2)
        assert [len(each) for each in both] == [2, 2]
        first = np.argmax(native(path, "[MASK] film was [MASK]")[1])
        assert both[0][0]["sequence"] == f"[CLS] {WORDS[first]} film was [MASK] [SEP]"
        with pytest.raises(InputError, match=r"put \[MASK\] where"):
            fill("the film was good")
        with pytest.raises(InputError, match="Unknown: awful"):
            fill(texts[0], targets="awful")


def test_models_of_another_kind_are_refused(embedded: Accelerator, tmp_path: Path) -> None:
    with pytest.raises(TaskMismatch, match="no logits of shape"):
        embedded.pipeline("fill-mask", classifier(tmp_path / "classifier"))
    with pytest.raises(TaskMismatch, match="no logits of shape"):
        embedded.pipeline("text-classification", masked(tmp_path / "masked"))
