"""What the models of the precision benchmark are for, and how well they do it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.photos import photo
from tests.recordings import BECKETT, recording
from webinfer import Accelerator, Model
from webinfer.accuracy.native import NativeSession
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.pooling import mean_pool, normalize
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve

Measured = dict[str, float]
PHOTOS = (
    "chelsea.png",
    "coffee.png",
    "astronaut.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "retina.jpg",
    "ihc.png",
    "hubble_deep_field.jpg",
)
SENTENCES = (
    "A cat sleeps on the warm windowsill.",
    "The kitten is napping in the sun.",
    "Stock markets fell sharply on Monday.",
    "Investors sold shares after the announcement.",
    "She plays the cello in an orchestra.",
    "He is a violinist with the philharmonic.",
    "The recipe needs two eggs and some flour.",
    "Mix sugar and butter before you add the milk.",
    "The train to Madrid leaves at noon.",
    "Our flight to Spain was cancelled.",
    "Quantum computers use superposition.",
    "The telescope found a distant galaxy.",
)
# Samuel Beckett, Worstward Ho, as the recording reads it.
BOOK = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
# Lewis Carroll, Alice's Adventures in Wonderland, 1865: the second and third paragraphs, shortened.
ALICE = (
    "So she was considering in her own mind (as well as she could, for the hot day made her feel very sleepy and "
    "stupid), whether the pleasure of making a daisy-chain would be worth the trouble of getting up and picking "
    "the daisies, when suddenly a White Rabbit with pink eyes ran close by her. There was nothing so very "
    "remarkable in that; nor did Alice think it so very much out of the way to hear the Rabbit say to itself, Oh "
    "dear! Oh dear! I shall be late! But when the Rabbit actually took a watch out of its waistcoat-pocket, and "
    "looked at it, and then hurried on, Alice started to her feet."
)


@dataclass(frozen=True)
class Task:
    """A model and what it is measured by.

    Attributes:
        name: Short name.
        reference: The model.
        inputs: Makes one request.
        measure: Takes accelerator, model, directory, platform, precision and what is expected; returns figures.
        native: Adds to what is expected what full precision answers natively.
    """

    name: str
    reference: str
    inputs: Callable[[ModelPackage], Any]
    measure: Callable[[Accelerator, Model, Path, str, str | None, dict[str, Any]], Measured]
    native: Callable[[NativeSession, dict[str, Any]], None] = lambda session, expected: None

    def open(self, accelerator: Accelerator, place: Path, platform: str, precision: str | None) -> Model:
        """Load the model; of several parts, the encoder."""
        return accelerator.load(place, platform=platform, precision=precision)  # type: ignore[arg-type]

    def expected(self) -> dict[str, Any]:
        """Return what full precision answers natively."""
        session = NativeSession(resolve(self.reference))
        expected: dict[str, Any] = {"outputs": session.run(self.inputs(session.package))}
        self.native(session, expected)
        return expected


def _tokens(package: ModelPackage) -> Any:
    ids = np.random.default_rng(0).integers(1000, 20000, (1, 128), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def _sentence(package: ModelPackage) -> Any:
    assert package.tokenizer is not None
    return dict(Tokenizer(package.tokenizer).encode([" ".join(SENTENCES[:4])]))


def _alice(package: ModelPackage) -> Any:
    """Return the text, and a cache with nothing in it."""
    assert package.tokenizer is not None
    given = {"input_ids": np.asarray(Tokenizer(package.tokenizer).encode([ALICE])["input_ids"])}
    for spec in package.signature.inputs:
        if spec.name.startswith("past_key_values"):
            shape = [1 if index == 0 else size if isinstance(size, int) else 0 for index, size in enumerate(spec.shape)]
            given[spec.name] = np.zeros(shape, np.float32)
    return given


def _photo(package: ModelPackage) -> Any:
    from webinfer.models.preprocessing.image_processor import ImageProcessor, image_tensors

    return image_tensors(package.signature, [ImageProcessor.of(package)(photo(PHOTOS[0]))])


def _heard(package: ModelPackage) -> Any:
    from webinfer.models.preprocessing.audio import read_audio
    from webinfer.models.preprocessing.audio_features import feature_extractor

    features = feature_extractor(package.settings("preprocessor_config.json"), package.name)
    return features(read_audio(recording(BECKETT), features.rate))


def _nothing(*_: Any) -> Measured:
    return {}


def _ranks(
    accelerator: Accelerator, model: Model, place: Path, platform: str, precision: str | None, expected: dict[str, Any]
) -> Measured:
    """Return Spearman's correlation of all pairs' similarities with those of full precision."""
    return {"rank correlation": float(np.corrcoef(_ordered(model.embed(list(SENTENCES))), expected["order"])[0, 1])}


def _native_ranks(session: NativeSession, expected: dict[str, Any]) -> None:
    assert session.package.tokenizer is not None
    encoded = Tokenizer(session.package.tokenizer).encode(list(SENTENCES))
    hidden = session.run(dict(encoded))["last_hidden_state"]
    expected["order"] = _ordered(normalize(mean_pool(hidden, encoded["attention_mask"])))


def _ordered(vectors: Any) -> Any:
    similar = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return similar.argsort().argsort()


def _top(
    accelerator: Accelerator, model: Model, place: Path, platform: str, precision: str | None, expected: dict[str, Any]
) -> Measured:
    found = [int(model.run(photo(name))["logits"].argmax()) for name in expected["photos"]]
    return {
        "top-1 agreement": float(np.mean([one == other for one, other in zip(found, expected["top"], strict=True)]))
    }


def _native_top(session: NativeSession, expected: dict[str, Any]) -> None:
    from webinfer.models.preprocessing.image_processor import ImageProcessor, image_tensors

    processor = ImageProcessor.of(session.package)
    expected["photos"] = [name for name in PHOTOS if photo(name).is_file()]
    pictures = [image_tensors(session.package.signature, [processor(photo(name))]) for name in expected["photos"]]
    expected["top"] = [int(session.run(picture)["logits"].argmax()) for picture in pictures]


def _words(
    accelerator: Accelerator, model: Model, place: Path, platform: str, precision: str | None, expected: dict[str, Any]
) -> Measured:
    """Return the word error rates against full precision, in a browser too, and against the book."""
    name = "automatic-speech-recognition"
    if "said" not in expected:  # in a browser of its own, so that it does not count in this one's memory
        full = TASKS["whisper-tiny.en"].reference
        with Accelerator(platform="wasm") as apart, apart.pipeline(name, full) as listen:
            expected["said"] = listen(str(recording(BECKETT)))["text"]
    with accelerator.pipeline(name, place, platform=platform, precision=precision) as listen:  # type: ignore[arg-type]
        said = listen(str(recording(BECKETT)))["text"]
    return {"WER to fp32": error_rate(expected["said"], said), "WER to the book": error_rate(BOOK, said)}


def error_rate(right: str, said: str) -> float:
    """Return the words to be changed, inserted and left out, by the words that are right."""
    one, other = (re.findall(r"[a-z']+", text.lower()) for text in (right, said))
    costs = list(range(len(other) + 1))
    for row, word in enumerate(one, 1):
        before, costs[0] = costs[0], row
        for column, heard in enumerate(other, 1):
            before, costs[column] = (
                costs[column],
                min(costs[column] + 1, costs[column - 1] + 1, before + (word != heard)),
            )
    return costs[-1] / max(1, len(one))


def _perplexity(
    accelerator: Accelerator, model: Model, place: Path, platform: str, precision: str | None, expected: dict[str, Any]
) -> Measured:
    inputs = _alice(model.package)
    return {"perplexity": surprise(model.run(inputs)["logits"], inputs["input_ids"]), "fp32": expected["perplexity"]}


def _native_perplexity(session: NativeSession, expected: dict[str, Any]) -> None:
    expected["perplexity"] = surprise(expected["outputs"]["logits"], _alice(session.package)["input_ids"])


def surprise(logits: Any, ids: Any) -> float:
    """Return the perplexity of tokens: e to the mean of their negative log probabilities."""
    scores = logits[0, :-1].astype(np.float64)
    top = scores.max(axis=-1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(axis=-1)) + top[:, 0]
    return math.exp(float((total - scores[np.arange(len(scores)), ids[0, 1:]]).mean()))


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("minilm", "wheel:all-MiniLM-L6-v2", _sentence, _ranks, _native_ranks),
        Task("efficientnet-lite0", "wheel:efficientnet-lite0", _photo, _top, _native_top),
        Task("whisper-tiny.en", "wheel:whisper-tiny.en", _heard, _words),
        Task("smollm2-135m", "wheel:SmolLM2-135M-Instruct", _alice, _perplexity, _native_perplexity),
        Task("bert-base", "random:bert-base-uncased", _tokens, _nothing),
    )
}
