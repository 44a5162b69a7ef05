"""``text-generation``: text that continues a prompt or a chat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from webinfer.core.errors import EmptyBatch, InputError
from webinfer.core.options import positive
from webinfer.inference.residents.kv_cache import cache_of
from webinfer.inference.result import Result
from webinfer.models.files.positions import longest
from webinfer.models.preprocessing.chat_template import ChatMessage, is_chat, render, template_of
from webinfer.pipelines.base.pipeline import AsyncPipeline
from webinfer.pipelines.text.decoding import TextStreamer, decode
from webinfer.pipelines.text.sampling import Sampling

_ENDLESS = 1_000_000  # tokens; a prompt is never cut
_INPUTS = {"input_ids", "attention_mask", "position_ids"}


class TextGeneration(AsyncPipeline):
    """Write text. The KV cache stays in the browser; only a token and its logits are transferred."""

    task: ClassVar[str] = "text-generation"
    default: ClassVar[str | None] = "wheel:SmolLM2-135M-Instruct"
    varying: ClassVar[Collection[str]] = ("input_ids",)
    streams: ClassVar[bool] = True

    async def _answer(
        self,
        inputs: Any,
        /,
        *,
        max_new_tokens: int = 128,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
        return_full_text: bool = True,
    ) -> list[Any]:
        """Return each text with its continuation.

        Args:
            inputs: A text or a list of texts; or a chat, as a list of ``{"role": …, "content": …}``.
            max_new_tokens: Most tokens to write; the model may end earlier.
            do_sample: Draw tokens at random with the model's probabilities. Off, the likeliest token is taken.
            temperature: With ``do_sample``: below 1 likely tokens become likelier, above 1 unlikely ones do.
            top_k: With ``do_sample``: consider only this many of the likeliest tokens; 0 for all.
            top_p: With ``do_sample``: consider only the likeliest tokens that have this probability together.
            repetition_penalty: Above 1, tokens that occurred become less likely.
            seed: Seed of the random choice; the same seed gives the same text.
            return_full_text: Return the prompt too; off, only the continuation.

        Returns:
            For a text, ``[{"generated_text": text}]``. For a chat, the same with all messages; the model's is the last.
            For a list of texts, a list of these.
        """
        sampling = Sampling(
            do_sample=do_sample,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
        )
        positive("max_new_tokens", max_new_tokens)
        prompts, several = self._prompts(inputs)
        writing = [self._write(prompt, max_new_tokens, sampling, seed) for prompt in prompts]
        written = await asyncio.gather(*writing)
        answers = [
            [{"generated_text": self._whole(prompt, text) if return_full_text else text}]
            for prompt, text in zip(inputs if several else [inputs], written, strict=True)
        ]
        return answers if several else answers[0]

    def stream(self, *inputs: Any, **parameters: Any) -> AsyncIterator[str]:
        """Yield the continuation piece by piece, as the model writes it.

        Args:
            inputs: One text or chat, as a call takes it.
            parameters: As a call takes them.

        Returns:
            Pieces of text.

        Raises:
            OptionError: The task has no such parameter.
        """
        return self._stream(*inputs, **self._parameters(parameters))

    async def _stream(
        self,
        prompt: Any,
        *,
        max_new_tokens: int = 128,
        seed: int | None = None,
        return_full_text: bool = False,
        **sampling: Any,
    ) -> AsyncGenerator[str, None]:
        positive("max_new_tokens", max_new_tokens)
        prompts, several = self._prompts(prompt)
        if several:
            raise InputError(f"{self.task} streams one text at a time: call it for each, or call the pipeline.")
        if return_full_text and isinstance(prompt, str):
            yield prompt
        async with aclosing(self._pieces(prompts[0], max_new_tokens, Sampling(**sampling), seed)) as pieces:
            async for piece in pieces:
                yield piece

    async def _write(self, prompt: Sequence[int], count: int, sampling: Sampling, seed: int | None) -> str:
        async with aclosing(self._pieces(prompt, count, sampling, seed)) as pieces:
            return "".join([piece async for piece in pieces])

    async def _pieces(
        self, prompt: Sequence[int], count: int, sampling: Sampling, seed: int | None
    ) -> AsyncGenerator[str, None]:
        pieces, chance = TextStreamer(self.model.tokenizer), np.random.default_rng(seed)
        left = count if self._longest is None else min(count, self._longest - len(prompt))

        def choose(logits: Any, before: Any) -> int:
            return sampling.choose(logits, before, chance)

        async with aclosing(decode(self.model, prompt, choose, self._note)) as tokens:
            async for token in tokens:
                left -= 1
                if token in self._ends:
                    break
                if piece := pieces.add(token):
                    yield piece
                if left <= 0:
                    break
        if rest := pieces.rest():
            yield rest

    def _note(self, result: Result) -> None:
        self.result = replace(result, outputs={})

    def _prompts(self, inputs: Any) -> tuple[list[list[int]], bool]:
        """Return the prompts' tokens, and whether the caller passed a list.

        Raises:
            InputError: The inputs are something else.
            EmptyBatch: The list is empty.
        """
        if isinstance(inputs, str):
            return [self._tokens(inputs)], False
        if is_chat(inputs):
            return [self._tokens(self._rendered(inputs), special=False)], False
        if not isinstance(inputs, Sequence) or not all(isinstance(text, str) for text in inputs):
            raise InputError(f"{self.task} takes a text, a list of texts or a chat, not {str(inputs)[:60]!r}.")
        if not inputs:
            raise EmptyBatch(f"{self.task} was given no texts: pass at least one.")
        return [self._tokens(text) for text in inputs], True

    def _rendered(self, chat: Sequence[ChatMessage]) -> str:
        if self._template is None:
            raise InputError(f"{self.model.name} has no chat template: pass a text instead of a chat.")
        return render(self._template, chat, self.model.package.settings("tokenizer_config.json"))

    def _tokens(self, text: str, *, special: bool = True) -> list[int]:
        encoded = self.model.tokenizer.encode(text, _ENDLESS, special=special)
        ids: list[int] = encoded["input_ids"][0].tolist()
        if not ids:
            raise InputError(f"{self.task} needs a text to continue: this one is empty.")
        if self._longest is not None and len(ids) >= self._longest:
            raise InputError(
                f"The text has {len(ids):,} tokens. {self.model.name} takes {self._longest:,}, with those that it "
                "writes: make the text shorter.",
                tokens=len(ids),
            )
        return ids

    def _whole(self, prompt: Any, text: str) -> Any:
        return prompt + text if isinstance(prompt, str) else [*prompt, {"role": "assistant", "content": text}]

    def _check_models(self) -> None:
        package = self.model.package
        if not cache_of(package):
            self._refuse(self.model, "it has no cache: no inputs past_key_values.N.key and outputs present.N.key")
        unknown = {spec.name for spec in package.signature.inputs} - _INPUTS - set(cache_of(package))
        if unknown or "logits" not in {spec.name for spec in package.signature.outputs}:
            fault = f"takes {', '.join(sorted(unknown))}" if unknown else "gives no logits"
            self._refuse(self.model, f"it {fault}, unlike a decoder of text alone")
        self._longest = longest(package.config)
        self._ends = self._ending()
        self._template = template_of(self.model.tokenizer.path.parent, package.settings("tokenizer_config.json"))

    def _ending(self) -> set[int]:
        """Return the tokens that end a text."""
        tokens = self.model.package.settings("generation_config.json").get("eos_token_id")
        tokens = self.model.package.config.get("eos_token_id") if tokens is None else tokens
        return {tokens} if isinstance(tokens, int) else set(tokens or ())
