"""``automatic-speech-recognition``: what is said in a recording, by Whisper or by a model that spells."""

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
from webinfer.pipelines.audio.ctc import Letters
from webinfer.pipelines.audio.seq2seq_decoder import Listening
from webinfer.pipelines.audio.transcript import Piece, Segment, joined, pieces
from webinfer.pipelines.audio.whisper import Speech
from webinfer.pipelines.base.pipeline import AsyncPipeline, LoadModel

T = TypeVar("T")
Timestamps = bool | Literal["word", "char"]

_CHUNK = 30.0  # seconds, where the model does not say what it hears at once
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # wav2vec 2.0's, where the model does not say
_OVERLAP = 6  # part of a chunk that is context on each side, as Transformers has it


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Attributes:
        timestamps: Whether times are wanted, and of what.
        chunk: Seconds of a piece.
        left: Seconds of context before it.
        right: Seconds of context after it.
        language: Code of the language; ``None`` has the model tell.
        translate: Answer in English.
        most: Tokens for each piece at most.
        batch_size: Pieces in work at once.
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
    """Write down what is said."""

    task: ClassVar[str] = "automatic-speech-recognition"
    default: ClassVar[str | None] = "wheel:whisper-tiny.en"
    varying: ClassVar[Collection[str]] = ("input_ids", "input_values")  # a token or several, recordings of any length

    features: LogMel | Waveform
    _speech: Speech
    _letters: Letters

    @classmethod
    async def load(cls, reference: str | Path, load: LoadModel, **defaults: Any) -> Self:
        """Load the model, and side by side with it the decoder of one that has two parts.

        Args:
            reference: The model.
            load: Loads a model by its reference, and a part of it.
            defaults: Parameters that calls begin with.

        Returns:
            The pipeline.

        Raises:
            OptionError: A parameter is unknown.
            WebinferError: As ``AsyncAccelerator.load``.
        """
        cls._check_parameters(defaults)
        loading = (load(reference, part=part, varying=cls.varying) for part in (None, PARTS[1]))
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
        """Return the transcript. Recordings longer than a chunk are heard in chunks that overlap.

        Args:
            inputs: A path, the contents of a file, samples at the model's rate, ``{"array": samples,
                "sampling_rate": hertz}``, or a list of these.
            return_timestamps: Give ``chunks`` with times, too: of sentences (``True``, Whisper), of each ``word`` or
                ``char`` (models that spell).
            language: Code of the language that is spoken, such as ``de``; ``None`` has the model tell.
            translate: Have Whisper translate into English.
            chunk_length_s: Seconds that are heard at once; ``None`` is 30, or what the model was made for.
            stride_length_s: Seconds at each side of a chunk that it shares with its neighbour, for context; ``None``
                is a sixth of a chunk.
            max_new_tokens: Tokens of a chunk at most; ``None`` for as many as the model can say.
            batch_size: Chunks in work at once.

        Returns:
            For a recording ``{"text"}``, and with times ``{"text", "chunks": [{"timestamp": (start, end), "text"}]}``
            in seconds; for a list of recordings a list of these.
        """
        positive("batch_size", batch_size)
        if max_new_tokens is not None:
            positive("max_new_tokens", max_new_tokens)
        chunk, left, right = self._chunking(chunk_length_s, stride_length_s)
        wish = Wish(return_timestamps, chunk, left, right, language, translate, max_new_tokens, batch_size)
        self._check(wish)
        several = isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes)
        if several and not len(inputs):
            raise EmptyBatch(f"{self.task} was given no recordings: pass at least one.")
        recordings = [
            await asyncio.to_thread(read_audio, one, self.features.rate) for one in (inputs if several else [inputs])
        ]
        answers = [await self._transcribe(samples, wish) for samples in recordings]
        return answers if several else answers[0]

    def _check_models(self) -> None:
        """Refuse a model that neither speaks nor spells."""
        package = self.model.package
        self.features = feature_extractor(package.settings("preprocessor_config.json"), self.model.name)
        if isinstance(self.features, LogMel):
            speech = Speech.of(package, self.model.tokenizer)
            if speech is None or len(self.models) < len(PARTS):
                self._refuse(self.model, "it lacks Whisper's decoder or tokens")
            self._speech = speech
        else:
            outputs = [spec.name for spec in package.signature.outputs]
            _ = self.model.tokenizer
            if outputs != ["logits"] or package.tokenizer is None:
                self._refuse(self.model, "it gives no logits of letters")
            self._letters = Letters.read(package.tokenizer)

    def _chunking(self, chunk: float | None, stride: float | tuple[float, float] | None) -> tuple[float, float, float]:
        """Return a chunk's length and its context on both sides, in seconds."""
        longest = float(self.features.seconds) if isinstance(self.features, LogMel) else math.inf
        length = min(longest, _CHUNK) if chunk is None else float(chunk)
        if not 0 < length <= longest:
            raise OptionError(f"chunk_length_s must be above 0 and {longest} at most.", option="chunk_length_s")
        if stride is None:
            return length, length / _OVERLAP, length / _OVERLAP
        left, right = (float(stride), float(stride)) if isinstance(stride, int | float) else map(float, stride)
        if min(left, right) < 0 or left + right >= length:
            raise OptionError(
                f"stride_length_s must not be below 0, and on both sides together below {length}.",
                option="stride_length_s",
            )
        return length, left, right

    def _check(self, wish: Wish) -> None:
        """Refuse what this model cannot."""
        kinds = (False, True) if isinstance(self.features, LogMel) else (False, "word", "char")
        if wish.timestamps not in kinds:
            raise OptionError(
                f"return_timestamps must be one of {', '.join(map(str, kinds))} for {self.model.name}, not "
                f"{wish.timestamps!r}.",
                option="return_timestamps",
            )
        if isinstance(self.features, LogMel):
            self._speech.check(wish.language, wish.translate)
        elif wish.language is not None or wish.translate:
            raise OptionError(f"{self.model.name} spells what it hears in its one language.", option="language")

    async def _transcribe(self, samples: Samples, wish: Wish) -> dict[str, Any]:
        if isinstance(self.features, LogMel):
            return self._written(joined(await self._pieces(samples, wish, self._hear)), wish)
        return self._spelled(await self._pieces(samples, wish, self._spell), wish)

    async def _pieces(
        self, samples: Samples, wish: Wish, hear: Callable[[Samples, Piece, Wish], Awaitable[T]]
    ) -> list[T]:
        """Hear a recording piece by piece, a few at once, and return what was heard in order."""
        lengths = (round(seconds * self.features.rate) for seconds in (wish.chunk, wish.left, wish.right))
        room = asyncio.Semaphore(wish.batch_size)

        async def work(place: Piece) -> T:
            async with room:
                return await hear(samples[place.start : place.stop], place, wish)

        running = [asyncio.ensure_future(work(place)) for place in pieces(len(samples), *lengths)]
        try:
            return list(await asyncio.gather(*running))
        finally:
            for one in running:
                one.cancel()

    # Whisper: an encoder that listens once, and a decoder that speaks token by token

    async def _hear(self, samples: Samples, place: Piece, wish: Wish) -> list[Segment]:
        wanted = [spec.name for spec in self.model.package.signature.outputs]
        if len(wanted) > 1:
            wanted.remove("last_hidden_state")  # the decoder takes what was made of it
        inputs = await self.model.requests.audio.hear(samples)
        heard = await self._run(inputs, wanted)
        note = partial(self._note, heard.audio_shader)
        with Listening(self.models[1], heard.outputs, note) as listening:
            said = await self._speech.listen(
                listening.step,
                language=wish.language,
                translate=wish.translate,
                timestamps=bool(wish.timestamps),
                most=wish.most,
            )
        return self._speech.segments(said, place.start / self.features.rate)

    def _written(self, segments: Sequence[Segment], wish: Wish) -> dict[str, Any]:
        tokens = [token for segment in segments for token in segment.tokens]
        answer: dict[str, Any] = {"text": self.model.tokenizer.decode(tokens)}
        if wish.timestamps:
            answer["chunks"] = [
                _timed(self.model.tokenizer.decode(segment.tokens), segment.start, segment.end) for segment in segments
            ]
        return answer

    def _note(self, shader: str | None, result: Result) -> None:
        """Note what was observed of a step of the decoder, and what made the features that its encoder heard."""
        self.result = replace(result, outputs={}, audio_shader=shader)

    # Models that spell: a letter or a blank for each frame

    async def _spell(self, samples: Samples, place: Piece, _: Wish) -> NDArray[np.int64]:
        """Return the likeliest letter of each frame, without those of the context."""
        ratio, fewest = self._frames()
        if len(samples) < fewest and place.start:
            return np.empty(0, np.int64)  # what is left of a long recording
        if len(samples) < fewest:
            raise InvalidAudio(f"{self.model.name} needs {fewest} samples at least, and there are {len(samples)}.")
        logits = (await self._run(self.features(samples))).outputs["logits"][0]
        stop = len(logits) - round(place.right / ratio) if place.right else len(logits)
        best: NDArray[np.int64] = logits[round(place.left / ratio) : stop].argmax(axis=-1)
        return best

    def _spelled(self, heard: Sequence[NDArray[np.int64]], wish: Wish) -> dict[str, Any]:
        spelled = self._letters.spell(np.concatenate(heard).tolist())
        words = self._letters.words(spelled)
        answer: dict[str, Any] = {"text": " ".join(text for text, _, _ in words)}
        if wish.timestamps:
            seconds = self._frames()[0] / self.features.rate
            answer["chunks"] = [
                _timed(text, round(start * seconds, 3), round(end * seconds, 3))
                for text, start, end in (words if wish.timestamps == "word" else spelled)
            ]
        return answer

    def _frames(self) -> tuple[int, int]:
        """Return how many samples lie between frames, and how many one frame takes in."""
        config = self.model.package.config
        apart, taken = 1, 1
        for kernel, stride in zip(
            config.get("conv_kernel", _KERNELS), config.get("conv_stride", _STRIDES), strict=True
        ):
            taken += (kernel - 1) * apart
            apart *= stride
        return apart, taken


def _timed(text: str, start: float | None, end: float | None) -> dict[str, Any]:
    return {"timestamp": (start, end), "text": text}
