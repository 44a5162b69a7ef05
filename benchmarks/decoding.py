"""How fast decoders write: their cache kept in the page, carried through Python at each step, and natively."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.loading import WHISPER, spread
from benchmarks.measure import show
from tests.recordings import BECKETT, recording
from webinfer import AsyncAccelerator
from webinfer.accuracy.native import NativeSession
from webinfer.browsers.discovery.find import Installation
from webinfer.core.options import Options
from webinfer.core.tensors import DTYPES
from webinfer.inference.residents.kv_cache import CACHE, cache_of
from webinfer.inference.result import Result
from webinfer.models.files.package import ModelPackage
from webinfer.models.files.variants import PARTS
from webinfer.models.preprocessing.audio import read_audio
from webinfer.models.preprocessing.audio_features import feature_extractor
from webinfer.models.preprocessing.tokenizer import Tokenizer
from webinfer.models.sources.resolve import resolve
from webinfer.pipelines.audio.seq2seq_decoder import Seq2SeqDecoder
from webinfer.pipelines.audio.whisper import WhisperDecoding
from webinfer.pipelines.text.decoding import decode
from webinfer.pool.requests.request import Times

CORES = os.cpu_count() or 1
WRITER = "wheel:SmolLM2-135M-Instruct"
PROMPT = "The history of the web browser began"
_STAGES = ("queue", "wait", "run", "transfer")
_NAMES = ("cache kept in the page", "through Python", "native")

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Awaitable[Arrays]]
Writing = Callable[[], Awaitable[list[int]]]
"""Writes tokens greedily, the same ones each time."""


class Carried:
    """A decoder whose cache is an input and an output of every step, as in Python one would write it first.

    Args:
        package: The decoder.
        run: Runs it.
        heard: What an encoder made for it.
    """

    def __init__(self, package: ModelPackage, run: Run, heard: Arrays) -> None:
        self._run = run
        self._names = {spec.name for spec in package.signature.inputs}
        self._cache = cache_of(package)
        self._past: dict[str, NDArray[Any]] = {}
        self._total = 0
        for spec in package.signature.inputs:
            if spec.name.startswith(CACHE):  # (batch, heads, tokens, size), of no tokens where nothing was heard
                sizes = [size if isinstance(size, int) else int(axis == 0) for axis, size in enumerate(spec.shape)]
                made = heard.get(spec.name.replace(CACHE, "present", 1))
                self._past[spec.name] = np.zeros(sizes, DTYPES[spec.dtype]) if made is None else made

    async def step(self, tokens: Sequence[int]) -> NDArray[Any]:
        """Go on by some tokens; returns the logits after the last, of shape (vocabulary,)."""
        past, self._total = self._total, self._total + len(tokens)
        feeds = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, self._total), np.int64),
            "position_ids": np.arange(past, self._total)[None],
        }
        made = await self._run({name: each for name, each in feeds.items() if name in self._names} | self._past)
        self._past |= {taken: made[name] for taken, name in self._cache.items() if name in made}
        logits: NDArray[Any] = made["logits"][0, -1]
        return logits


async def write(
    step: Callable[[Sequence[int]], Awaitable[NDArray[Any]]], prompt: Sequence[int], count: int
) -> list[int]:
    """Write so many tokens, always the likeliest."""
    said: list[int] = []
    fresh: Sequence[int] = prompt
    while len(said) < count:
        said.append(int((await step(fresh)).argmax()))
        fresh = said[-1:]
    return said


def natively(session: NativeSession) -> Run:
    """Run natively, as ``Carried`` wants it; in a thread, since a page must hear of this process now and then."""

    async def run(inputs: Arrays) -> Arrays:
        return await asyncio.to_thread(session.run, inputs)

    return run


class Watch:
    """Where the steps in the page spent their time, in seconds."""

    def __init__(self) -> None:
        self.steps: list[Times] = []

    def note(self, result: Result) -> None:
        self.steps.append(result.times)

    def shares(self, warm_up: float) -> list[str]:
        """Return the mean milliseconds of a step, and what part of all steps' time went where.

        Args:
            warm_up: Part of the steps, from the first on, that is left out.
        """
        steps = self.steps[round(warm_up * len(self.steps)) :]
        total = sum(each.total for each in steps)
        spent = (sum(getattr(each, name) for each in steps) for name in _STAGES)
        return [f"{total / len(steps) * 1e3:.2f}", *(f"{each / total:.1%}" for each in spent)]


async def rates(contestants: Mapping[str, Writing], rounds: int) -> dict[str, list[float]]:
    """Return tokens per second, turn by turn, of contestants that must all write the same.

    Raises:
        AssertionError: They do not.
    """
    expected = None
    for name, writing in contestants.items():  # also warms up
        said = await writing()
        expected = expected or said
        assert said == expected, f"{name} wrote something else: {said}, not {expected}"
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, writing in contestants.items():
            began = time.perf_counter()
            assert await writing() == expected
            found[name].append(len(expected or ()) / (time.perf_counter() - began))
    return found


async def text(accelerator: AsyncAccelerator, count: int, watch: Watch) -> dict[str, Writing]:
    """Return the ways in which SmolLM2 writes."""
    model = await accelerator.load(WRITER)
    native = await asyncio.to_thread(NativeSession, model.package, CORES)
    prompt = model.tokenizer.encode(PROMPT)["input_ids"][0].tolist()

    async def kept() -> list[int]:
        said: list[int] = []
        async with aclosing(decode(model, prompt, lambda logits, _: int(logits.argmax()), watch.note)) as tokens:
            async for token in tokens:
                said.append(token)
                if len(said) == count:
                    break
        return said

    async def across(inputs: Arrays) -> Arrays:
        return (await model.run(inputs)).outputs

    return dict(
        zip(
            _NAMES,
            (
                kept,
                lambda: write(Carried(model.package, across, {}).step, prompt, count),
                lambda: write(Carried(native.package, natively(native), {}).step, prompt, count),
            ),
            strict=True,
        )
    )


async def speech(accelerator: AsyncAccelerator, count: int, watch: Watch) -> dict[str, Writing]:
    """Return the ways in which Whisper's decoder writes what the native encoder heard."""
    encoder = await asyncio.to_thread(resolve, WHISPER, part=PARTS[0])
    model = await accelerator.load(WHISPER, part=PARTS[1])
    native = await asyncio.to_thread(NativeSession, model.package, CORES)
    said = WhisperDecoding.of(encoder, model.tokenizer)
    features = feature_extractor(encoder.settings("preprocessor_config.json"))
    assert said is not None
    samples = await asyncio.to_thread(read_audio, recording(BECKETT), features.rate)
    heard = (await asyncio.to_thread(NativeSession, encoder)).run(features(samples))

    def listen(step: Callable[[Sequence[int]], Awaitable[NDArray[Any]]]) -> Awaitable[list[int]]:
        return said.decode(step, language=None, translate=False, timestamps=False, most=count)

    async def kept() -> list[int]:
        with Seq2SeqDecoder(model, heard, watch.note) as listening:
            return await listen(listening.step)

    async def across(inputs: Arrays) -> Arrays:
        return (await model.run(inputs)).outputs

    async def carried() -> list[int]:
        return await listen(Carried(model.package, across, heard).step)

    async def alone() -> list[int]:
        return await listen(Carried(model.package, natively(native), heard).step)

    return dict(zip(_NAMES, (kept, carried, alone), strict=True))


async def tokens_per_second(installation: Installation, browser: str, rounds: int, count: int) -> None:
    """Compare the ways to keep a decoder's cache, contestants taking turns and writing the same tokens."""
    rows, steps = [], []
    for name, ways in ((WHISPER, speech), (WRITER, text)):
        watch = Watch()
        async with AsyncAccelerator(browser=browser, platform="wasm", threads=CORES) as accelerator:
            found = await rates(await ways(accelerator, count, watch), rounds)
        kept, across, native = found.values()
        ratios = [[one / other for one, other in zip(kept, others, strict=True)] for others in (across, native)]
        rows.append([name, *(f"{statistics.median(each):.1f}" for each in found.values()), *map(spread, ratios)])
        steps.append([name, *watch.shares(warm_up=1 / (rounds + 1))])
        print(f"  done: tokens of {name}", flush=True)
    title = f"Tokens per second, prompt included, by WebAssembly with {CORES} threads ({installation.name})"
    show(title, ["model", *_NAMES, "kept / through Python", "kept / native"], rows)
    title = "Where a step with the cache kept in the page spends its time"
    show(title, ["model", "ms", "queue", "wait in the lane", "run", "transfer"], steps)


async def transcribe_natively(samples: NDArray[np.float32], models: Sequence[NativeSession]) -> str:
    """Write down a recording of one chunk with native onnxruntime, the pipeline's steps one by one."""
    encoder, decoder = models
    assert encoder.package.tokenizer is not None
    tokenizer = Tokenizer(encoder.package.tokenizer)
    said = WhisperDecoding.of(encoder.package, tokenizer)
    assert said is not None
    features = feature_extractor(encoder.package.settings("preprocessor_config.json"))
    heard = await natively(encoder)(await asyncio.to_thread(features, samples))
    step = Carried(decoder.package, natively(decoder), heard).step
    tokens = await said.decode(step, language=None, translate=False, timestamps=False, most=None)
    return tokenizer.decode(tokens)


async def real_time(installation: Installation, browser: str, rounds: int) -> None:
    """Compare transcribing a recording with native onnxruntime, contestants taking turns."""
    rate = 16_000
    samples = read_audio(recording(BECKETT), rate)
    length = len(samples) / rate
    packages = [await asyncio.to_thread(resolve, WHISPER, part=part) for part in PARTS]
    native = [await asyncio.to_thread(NativeSession, package, CORES) for package in packages]
    rows = []
    for platform in ("wasm", "auto"):
        async with (
            AsyncAccelerator(Options.of(browser=browser, platform=platform, threads=CORES)) as accelerator,
            await accelerator.pipeline("automatic-speech-recognition", WHISPER) as listen,
        ):
            factors: tuple[list[float], list[float]] = ([], [])
            for turn in itertools.count():
                began = time.perf_counter()
                ours = (await listen(samples))["text"]
                between = time.perf_counter()
                theirs = await transcribe_natively(samples, native)
                ended = time.perf_counter()
                assert ours == theirs, f"{ours!r}, natively {theirs!r}"
                if turn:  # the first one warms up
                    factors[0].append((between - began) / length)
                    factors[1].append((ended - between) / length)
                if turn == rounds:
                    break
            backends = ", ".join(model.backend for model in listen.models)
        ratios = [one / other for one, other in zip(*factors, strict=True)]
        rows.append([platform, backends, *(f"{statistics.median(each):.3f}" for each in factors), spread(ratios)])
    title = f"Real-time factor of transcribing {length:.1f} s of speech ({WHISPER}, {installation.name})"
    show(title, ["platform", "encoder, decoder on", "webinfer", "native", "webinfer / native"], rows)
