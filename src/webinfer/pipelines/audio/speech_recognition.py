"""``automatic-speech-recognition``: the transcript of a recording, by a Whisper model or a CTC model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import EmptyBatch, InvalidAudio, ModelNotFound, OptionError
from webinfer.core.options import positive
from webinfer.inference.model import AsyncModel
from webinfer.inference.result import Result
from webinfer.models.files.variants import PARTS
from webinfer.models.preprocessing.audio import Samples, read_audio
from webinfer.models.preprocessing.audio_features import LogMel, Waveform, feature_extractor
from webinfer.pipelines.audio.ctc import CtcVocabulary
from webinfer.pipelines.audio.seq2seq_decoder import Seq2SeqDecoder
from webinfer.pipelines.audio.transcript import AudioChunk, Segment, chunks, join
from webinfer.pipelines.audio.whisper import WhisperDecoding
from webinfer.pipelines.base.pipeline import AsyncPipeline, LoadModel

T = TypeVar("T")
Timestamps = bool | Literal["word", "char"]

_CHUNK = 30.0  # seconds, if the model gives no length
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # wav2vec 2.0's, if the model gives none
_OVERLAP = 6  # a sixth of a chunk is context on each side, as in Transformers


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """The parameters of a call.

    Attributes:
        timestamps: Whether to give times, and of which unit.
        chunk: Seconds of a chunk.
        left: Seconds of context before it.
        right: Seconds of context after it.
        language: Code of the language; ``None`` lets the model detect it.
        translate: Answer in English.
        most: Most tokens of a chunk.
        batch_size: Chunks that run at the same time.
    """

    timestamps: Timestamps
    chunk: float
    left: float
    right: float
    language: str | None
    translate: bool
    most: int | None
    batch_size: int


class SpeechRecognition(AsyncPipeline):
    """Write down speech."""

    task: ClassVar[str] = "automatic-speech-recognition"
    default: ClassVar[str | None] = "wheel:whisper-tiny.en"
    varying: ClassVar[Collection[str]] = ("input_ids", "input_values")  # a token or several, recordings of any length

    features: LogMel | Waveform
    _whisper: WhisperDecoding
    _letters: CtcVocabulary

    @classmethod
    async def load(cls, reference: str | Path, load: LoadModel, **defaults: Any) -> Self:
        """Load the model, and at the same time the decoder of a model with two parts.

        Args:
            reference: The model.
            load: Loads a model by its reference, and a part of it.
            defaults: Default parameters of calls.

        Returns:
            The pipeline.

        Raises:
            OptionError: A parameter is unknown.
            WebinferError: As ``AsyncAccelerator.load``.
        """
        cls._check_parameters(defaults)
        loading = (load(reference, part=part, varying=cls.varying) for part in (None, PARTS[1]))
        # Both load at once, and one that came is closed if the other failed.
        first, decoder = await asyncio.gather(*loading, return_exceptions=True)
        models = [model for model in (first, decoder) if isinstance(model, AsyncModel)]
        try:
            if isinstance(first, BaseException):
                raise first
            whole = isinstance(decoder, ModelNotFound) and not first.package.parts
            if isinstance(decoder, BaseException) and not whole:
                raise decoder
            return cls(*models, **defaults)
        except BaseException:
            for model in models:
                await model.close()
            raise

    async def _answer(
        self,
        inputs: Any,
        /,
        *,
        return_timestamps: Timestamps = False,
        language: str | None = None,
        translate: bool = False,
        chunk_length_s: float | None = None,
        stride_length_s: float | tuple[float, float] | None = None,
        max_new_tokens: int | None = None,
        batch_size: int = 2,
    ) -> Any:
        """Return the transcript. A recording longer than a chunk is cut into overlapping chunks.

        Args:
            inputs: A path, the contents of a file, samples at the model's rate, ``{"array": samples,
                "sampling_rate": hertz}``, or a list of these.
            return_timestamps: Add ``chunks`` with times: of sentences (``True``, Whisper models), or of each ``word``
                or ``char`` (CTC models).
            language: Code of the spoken language, such as ``de``; ``None`` lets the model detect it.
            translate: Translate to English, with Whisper models.
            chunk_length_s: Seconds of a chunk; ``None`` takes 30, or the model's own length.
            stride_length_s: Seconds at each side of a chunk that it shares with its neighbour, for context; ``None``
                takes a sixth of a chunk.
            max_new_tokens: Most tokens of a chunk; ``None`` for the model's own limit.
            batch_size: Chunks that run at the same time.

        Returns:
            For a recording, ``{"text"}``. With times, ``{"text", "chunks": [{"timestamp": (start, end), "text"}]}`` in
            seconds. For a list of recordings, a list of these.

        Raises:
            EmptyBatch: There are no recordings.
            OptionError: A parameter has an invalid value, or the model cannot do it.
            InvalidAudio: A recording cannot be read, or is too short.
        """
        positive("batch_size", batch_size)
        if max_new_tokens is not None:
            positive("max_new_tokens", max_new_tokens)
        chunk, left, right = self._chunking(chunk_length_s, stride_length_s)
        options = TranscriptionOptions(
            return_timestamps, chunk, left, right, language, translate, max_new_tokens, batch_size
        )
        self._check(options)
        several = isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes)
        if several and not len(inputs):
            raise EmptyBatch(f"{self.task} was given no recordings: pass at least one.")
        recordings = [
            await asyncio.to_thread(read_audio, recording, self.features.rate)
            for recording in (inputs if several else [inputs])
        ]
        answers = [await self._transcribe(samples, options) for samples in recordings]
        return answers if several else answers[0]

    def _check_models(self) -> None:
        """Refuse a model that is neither a Whisper model nor a CTC model."""
        package = self.model.package
        self.features = feature_extractor(package.settings("preprocessor_config.json"), self.model.name)
        if isinstance(self.features, LogMel):
            whisper = WhisperDecoding.of(package, self.model.tokenizer)
            if whisper is None or len(self.models) < len(PARTS):
                self._refuse(self.model, "it lacks Whisper's decoder or tokens")
            self._whisper = whisper
        else:
            outputs = [spec.name for spec in package.signature.outputs]
            _ = self.model.tokenizer
            if outputs != ["logits"] or package.tokenizer is None:
                self._refuse(self.model, "it gives no logits of letters")
            self._letters = CtcVocabulary.read(package.tokenizer)

    def _chunking(self, chunk: float | None, stride: float | tuple[float, float] | None) -> tuple[float, float, float]:
        """Return a chunk's length and its context on both sides, in seconds.

        Raises:
            OptionError: They do not fit together, or the model takes no such chunk.
        """
        longest = float(self.features.seconds) if isinstance(self.features, LogMel) else math.inf
        length = min(longest, _CHUNK) if chunk is None else float(chunk)
        if not 0 < length <= longest:
            raise OptionError(f"chunk_length_s must be above 0 and at most {longest}.", option="chunk_length_s")
        if stride is None:
            return length, length / _OVERLAP, length / _OVERLAP
        left, right = (float(stride), float(stride)) if isinstance(stride, int | float) else map(float, stride)
        if min(left, right) < 0 or left + right >= length:
            raise OptionError(
                f"stride_length_s must be 0 or more, and both sides together below {length}.",
                option="stride_length_s",
            )
        return length, left, right

    def _check(self, options: TranscriptionOptions) -> None:
        """Refuse options that this model does not support.

        Raises:
            OptionError: It does not support one.
        """
        kinds = (False, True) if isinstance(self.features, LogMel) else (False, "word", "char")
        if options.timestamps not in kinds:
            raise OptionError(
                f"return_timestamps must be one of {', '.join(map(str, kinds))} for {self.model.name}, not "
                f"{options.timestamps!r}.",
                option="return_timestamps",
            )
        if isinstance(self.features, LogMel):
            self._whisper.check(options.language, options.translate)
        elif options.language is not None or options.translate:
            raise OptionError(
                f"{self.model.name} knows one language: leave language and translate out.", option="language"
            )

    async def _transcribe(self, samples: Samples, options: TranscriptionOptions) -> dict[str, Any]:
        if isinstance(self.features, LogMel):
            return self._sentences(join(await self._over_chunks(samples, options, self._run_whisper)), options)
        return self._spelling(await self._over_chunks(samples, options, self._run_ctc), options)

    async def _over_chunks(
        self,
        samples: Samples,
        options: TranscriptionOptions,
        run: Callable[[Samples, AudioChunk, TranscriptionOptions], Awaitable[T]],
    ) -> list[T]:
        """Return the answers for the chunks of a recording, in order. A few chunks run at once."""
        lengths = (round(seconds * self.features.rate) for seconds in (options.chunk, options.left, options.right))
        room = asyncio.Semaphore(options.batch_size)

        async def work(chunk: AudioChunk) -> T:
            async with room:
                return await run(samples[chunk.start : chunk.stop], chunk, options)

        running = [asyncio.ensure_future(work(chunk)) for chunk in chunks(len(samples), *lengths)]
        try:
            return list(await asyncio.gather(*running))
        finally:
            for task in running:
                task.cancel()

    # Whisper: the encoder runs once for a chunk, the decoder once for each token.

    async def _run_whisper(self, samples: Samples, chunk: AudioChunk, options: TranscriptionOptions) -> list[Segment]:
        outputs = [spec.name for spec in self.model.package.signature.outputs]
        if len(outputs) > 1:
            outputs.remove("last_hidden_state")  # the decoder takes the keys and values instead
        inputs = await self.model.requests.audio.hear(samples)
        encoded = await self._run(inputs, outputs)
        note = partial(self._note, encoded.audio_shader)
        with Seq2SeqDecoder(self.models[1], encoded.outputs, note) as decoder:
            tokens = await self._whisper.decode(
                decoder.step,
                language=options.language,
                translate=options.translate,
                timestamps=bool(options.timestamps),
                most=options.most,
            )
        return self._whisper.segments(tokens, chunk.start / self.features.rate)

    def _sentences(self, segments: Sequence[Segment], options: TranscriptionOptions) -> dict[str, Any]:
        tokens = [token for segment in segments for token in segment.tokens]
        answer: dict[str, Any] = {"text": self.model.tokenizer.decode(tokens)}
        if options.timestamps:
            answer["chunks"] = [
                _timed(self.model.tokenizer.decode(segment.tokens), segment.start, segment.end) for segment in segments
            ]
        return answer

    def _note(self, shader: str | None, result: Result) -> None:
        """Note the result of a decoder's step, with the shader that made its encoder's features."""
        self.result = replace(result, outputs={}, audio_shader=shader)

    # CTC: a letter or a blank for each frame.

    async def _run_ctc(self, samples: Samples, chunk: AudioChunk, _: TranscriptionOptions) -> NDArray[np.int64]:
        """Return the likeliest letter of each frame, without the frames of the context.

        Raises:
            InvalidAudio: The recording is shorter than one frame.
        """
        spacing, width = self._frames()
        if len(samples) < width and chunk.start:
            return np.empty(0, np.int64)  # the short end of a long recording
        if len(samples) < width:
            raise InvalidAudio(f"{self.model.name} needs at least {width} samples; there are {len(samples)}.")
        logits = (await self._run(self.features(samples))).outputs["logits"][0]
        stop = len(logits) - round(chunk.right / spacing) if chunk.right else len(logits)
        best: NDArray[np.int64] = logits[round(chunk.left / spacing) : stop].argmax(axis=-1)
        return best

    def _spelling(self, frames: Sequence[NDArray[np.int64]], options: TranscriptionOptions) -> dict[str, Any]:
        characters = self._letters.collapse(np.concatenate(frames).tolist())
        words = self._letters.words(characters)
        answer: dict[str, Any] = {"text": " ".join(text for text, _, _ in words)}
        if options.timestamps:
            seconds = self._frames()[0] / self.features.rate
            answer["chunks"] = [
                _timed(text, round(start * seconds, 3), round(end * seconds, 3))
                for text, start, end in (words if options.timestamps == "word" else characters)
            ]
        return answer

    def _frames(self) -> tuple[int, int]:
        """Return the samples between two frames, and the samples that one frame covers."""
        config = self.model.package.config
        spacing, width = 1, 1
        for kernel, stride in zip(
            config.get("conv_kernel", _KERNELS), config.get("conv_stride", _STRIDES), strict=True
        ):
            width += (kernel - 1) * spacing
            spacing *= stride
        return spacing, width


def _timed(text: str, start: float | None, end: float | None) -> dict[str, Any]:
    return {"timestamp": (start, end), "text": text}
