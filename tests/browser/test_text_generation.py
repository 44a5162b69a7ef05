"""Text is what native onnxruntime's logits say, token by token, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.zoo.test_decoders import GPT2, loud, nothing, run
from webinfer import Accelerator, AsyncAccelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import EmptyBatch, InputError, OptionError, TaskMismatch
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.text.gpt2 import gpt2
from webinfer.models.zoo.formats.tokenizer import byte_characters, byte_tokenizer

pytestmark = pytest.mark.browser
END = "<|end|>"


def endless(name: str, shape: tuple[int, ...]) -> Any:
    """Return loud weights with which the end token, the last, is never the likeliest."""
    values = loud(name, shape)
    if name.endswith("wte.weight"):
        values[-1] = 0
    return values


@pytest.fixture
def writer(tmp_path: Path) -> Path:
    """A small GPT-2 with loud random weights, whose tokens are the ASCII characters."""
    config = GPT2 | {"vocab_size": 95, "n_positions": 64, "eos_token_id": 94, "model_type": "gpt2"}
    directory = tmp_path / "writer"
    directory.mkdir()
    gpt2(config).save(directory / "model.onnx", endless)
    vocabulary = {character: at for at, character in enumerate(byte_characters()[:94])} | {END: 94}
    (directory / "tokenizer.json").write_text(json.dumps(byte_tokenizer(vocabulary, [], [END])))
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def native(package: ModelPackage, prompt: str, count: int) -> str:
    """Write greedily with native onnxruntime, its cache in Python."""
    assert package.tokenizer is not None
    tokenizer, session = Tokenizer(package.tokenizer), NativeSession(package)
    ids, past, said = tokenizer.encode(prompt)["input_ids"], nothing(session, 1), []
    for _ in range(count):
        answer = run(session, ids, past)
        past = {name: answer[name.replace("past_key_values", "present")] for name in past}
        said.append(int(answer["logits"][0, -1].argmax()))
        if said[-1] == package.config["eos_token_id"]:
            break
        ids = np.array([said[-1:]])
    return tokenizer.decode(said)


def test_greedy_text_is_natives(embedded: Accelerator, writer: Path) -> None:
    package = resolve(writer)
    with embedded.pipeline("text-generation", writer, max_new_tokens=20) as generate:
        expected = native(package, "Hello", 20)
        assert len(expected) > 10
        assert generate("Hello") == [{"generated_text": "Hello" + expected}]
        assert generate("Hello", return_full_text=False) == [{"generated_text": expected}]
        assert "".join(generate.stream("Hello")) == expected
        assert next(iter(generate.stream("Hello"))) == expected[0]
        several = ["Hello", "abc", "One,two,three"]
        texts = [[{"generated_text": text + native(package, text, 20)}] for text in several]
        assert generate(several) == texts
        assert generate.result is not None
        assert generate.result.backend == "wasm"


def test_text_ends_with_its_end_token_or_the_longest_length(embedded: Accelerator, writer: Path) -> None:
    package = resolve(writer)
    with embedded.pipeline("text-generation", writer, return_full_text=False, max_new_tokens=500) as generate:
        (answer,) = generate("Hello")
        assert len(answer["generated_text"]) == 64 - 5
        after = answer["generated_text"][7]
        config = json.loads((writer / "config.json").read_text())
        ending = Tokenizer(writer / "tokenizer.json").id(after)
        (writer / "generation_config.json").write_text(json.dumps({"eos_token_id": [ending, 94]}))
        assert config["eos_token_id"] == package.config["eos_token_id"] == 94
    with embedded.pipeline("text-generation", writer, return_full_text=False, max_new_tokens=500) as generate:
        (shorter,) = generate("Hello")
        assert shorter["generated_text"] == answer["generated_text"].partition(after)[0]


def test_chance_is_the_seeds(embedded: Accelerator, writer: Path) -> None:
    with embedded.pipeline("text-generation", writer, max_new_tokens=20, do_sample=True, temperature=3.0) as generate:
        one, same, other = (generate("Hello", seed=seed) for seed in (1, 1, 2))
        assert one == same
        assert one != other
        assert "".join(generate.stream("Hello", seed=1)) == one[0]["generated_text"].removeprefix("Hello")
        assert generate("Hello", top_k=1) == generate("Hello", do_sample=False)


async def test_lost_lane_changes_nothing_in_the_text(writer: Path) -> None:
    expected = native(resolve(writer), "Hello", 40)
    async with AsyncAccelerator(browser="embedded") as accelerator:
        generate = await accelerator.pipeline("text-generation", writer, max_new_tokens=40)
        pool, said, lanes = accelerator._pool, [], set()
        assert pool is not None
        async for piece in generate.stream("Hello"):
            said.append(piece)
            assert generate.result is not None
            lanes.add(generate.result.lane)
            if len(said) in (5, 15):
                (browser,) = pool.browsers.values()
                os.kill(browser.pid, signal.SIGKILL)
                # A token takes less time than the loss to be noticed.
                while generate.result.lane in map(str, pool.lanes):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert "".join(said) == expected
        assert len(lanes) == 3


async def test_text_that_is_given_up_makes_room_for_the_next(writer: Path) -> None:
    async with AsyncAccelerator(browser="embedded") as accelerator:
        generate = await accelerator.pipeline("text-generation", writer, max_new_tokens=50)
        task = asyncio.create_task(generate("Hello"))
        while generate.result is None:  # noqa: ASYNC110  # a step announces nothing
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (answer,) = await generate("abc", max_new_tokens=9, return_full_text=False)
        assert answer["generated_text"] == native(resolve(writer), "abc", 9)


def test_wrong_use_is_said(embedded: Accelerator, writer: Path, perceptron: Path) -> None:
    with embedded.pipeline("text-generation", writer) as generate:
        with pytest.raises(InputError, match="takes 64, with those that it writes"):
            generate("x" * 64)
        with pytest.raises(InputError, match="this one is empty"):
            generate("")
        with pytest.raises(EmptyBatch):
            generate([])
        with pytest.raises(InputError, match="takes a text, a list of texts or a chat"):
            generate(7)
        with pytest.raises(InputError, match="has no chat template"):
            generate([{"role": "user", "content": "Hello"}])
        with pytest.raises(InputError, match="one text at a time"):
            list(generate.stream(["a", "b"]))
        with pytest.raises(OptionError, match="Did you mean 'top_k'"):
            generate("a", topk=3)
        with pytest.raises(OptionError, match="Did you mean 'top_k'"):
            generate.stream("a", topk=3)
        with pytest.raises(OptionError, match="max_new_tokens must be above 0"):
            generate("a", max_new_tokens=0)
    with pytest.raises(TaskMismatch, match="it has no cache"):
        embedded.pipeline("text-generation", perceptron)
    with embedded.pipeline("text-generation", writer, platform="webnn", max_new_tokens=2) as fixed:
        fixed("Hello")
        assert fixed.result is not None
        assert fixed.result.backend == "wasm"
        assert "fixed shapes" in str(fixed.result.reason)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smollm2_writes_natives_text_with_real_weights(embedded: Accelerator) -> None:
    with embedded.pipeline("text-generation", max_new_tokens=24) as generate:
        expected: Any = native(generate.model.package, "Gravity is", 24)
        assert "curvature" in expected
        assert generate("Gravity is", return_full_text=False) == [{"generated_text": expected}]
        assert generate.result is not None
        assert generate.result.weights == "real"
        chat = [{"role": "user", "content": "What is the capital of France?"}]
        reply = {"role": "assistant", "content": "The capital of France is Paris."}
        assert generate(chat) == [{"generated_text": [*chat, reply]}]
        assert "".join(generate.stream(chat)) == reply["content"]
