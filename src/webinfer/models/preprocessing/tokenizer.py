"""Text to token ids, over the ``tokenizers`` library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from webinfer.core.errors import DtypeMismatch, EmptyBatch, InvalidModel, OptionError
from webinfer.models.files.positions import longest

Text = str | tuple[str, str]

_UNBOUNDED = 1_000_000  # configs say "no limit" with numbers far above this
# Files that state a model's longest input, besides config.json. The smallest value holds: sentence-transformers are
# trained on shorter texts than their positions allow.
_LIMITS = (
    ("sentence_bert_config.json", "max_seq_length"),
    ("tokenizer_config.json", "model_max_length"),
)


class Tokenizer:
    """A model's tokenizer. It pads to the longest text of a call, even if its file asks for a fixed length.

    Args:
        path: Its ``tokenizer.json``. The configurations beside it state the longest input and the padding token.

    Raises:
        InvalidModel: A file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.max_length = _longest(path.parent)
        self._inner = _open(path)
        self._inner.enable_padding(**_padding(self._inner, path.parent))
        self._cutting: dict[int | None, tokenizers.Tokenizer] = {}

    def __repr__(self) -> str:
        return f"<Tokenizer {self.path.parent.name} vocabulary={self.size} max_length={self.max_length}>"

    @property
    def size(self) -> int:
        """The number of its tokens, without those added later, which the model may not know."""
        return int(self._inner.get_vocab_size(with_added_tokens=False))

    def encode(
        self, texts: Text | Sequence[Text], max_length: int | None = None, *, special: bool = True
    ) -> dict[str, NDArray[np.int64]]:
        """Turn texts into ids, padded to the longest.

        Args:
            texts: One text, or several; a tuple of two texts is one input of two segments.
            max_length: Cut longer inputs to this many tokens, special ones included; ``None`` takes the model's limit.
            special: Add the tokens that begin and end a text; a chat's template has written them already.

        Returns:
            ``input_ids``, ``attention_mask`` and ``token_type_ids``, int64 of shape (texts, sequence).

        Raises:
            EmptyBatch: There are no texts.
            DtypeMismatch: Something among the texts is not text.
            OptionError: ``max_length`` is too short for the special tokens alone.
        """
        batch = [texts] if isinstance(texts, str) or _is_pair(texts) else list(texts)
        if not batch:
            raise EmptyBatch("There are no texts to encode: pass at least one.")
        for number, item in enumerate(batch):
            if not (isinstance(item, str) or _is_pair(item)):
                kind = type(item).__name__
                raise DtypeMismatch(f"Text {number} is a {kind}: a text is a string or a tuple of two.", got=kind)
        try:
            encodings = self._cut_to(max_length or self.max_length).encode_batch(batch, add_special_tokens=special)
        except (UnicodeEncodeError, TypeError) as error:
            raise DtypeMismatch("A text holds half of a surrogate pair, which is no Unicode.", got="str") from error
        return {
            "input_ids": _table(encoding.ids for encoding in encodings),
            "attention_mask": _table(encoding.attention_mask for encoding in encodings),
            "token_type_ids": _table(encoding.type_ids for encoding in encodings),
        }

    def decode(self, ids: Sequence[int] | NDArray[Any], *, special: bool = False) -> str:
        """Turn ids back into text, without special tokens unless ``special``.

        Args:
            ids: Token ids, int64 array of one dimension or a list.
            special: Whether special tokens are part of the text.

        Returns:
            One text for the whole sequence.
        """
        return self._inner.decode([int(number) for number in ids], skip_special_tokens=not special)

    def token(self, number: int) -> str:
        """Return the token of an id; empty where there is none.

        Args:
            number: The id.
        """
        return self._inner.id_to_token(int(number)) or ""

    def id(self, token: str) -> int | None:
        """Return the id of a token, or ``None``.

        Args:
            token: The token, as the vocabulary writes it.
        """
        return self._inner.token_to_id(token)

    @property
    def mask_token(self) -> str | None:
        """The token that stands for a hidden one: as the configurations say, else ``[MASK]`` or ``<mask>``."""
        names = ("special_tokens_map.json", "tokenizer_config.json")
        tokens = [_content(_read(self.path.parent / name).get("mask_token")) for name in names]
        return next((token for token in (*tokens, "[MASK]", "<mask>") if token and self.id(token) is not None), None)

    def _cut_to(self, length: int | None) -> tokenizers.Tokenizer:
        """Return a tokenizer that cuts to a length.

        Raises:
            OptionError: The length leaves no room beside the special tokens.
        """
        # A tokenizer keeps its length, and threads may ask for different ones at once: each length has its own.
        if length not in self._cutting:
            special = self._inner.num_special_tokens_to_add(False)
            if length is not None and length <= special:
                raise OptionError(f"max_length must be above {special}, not {length}.", option="max_length")
            cutting = tokenizers.Tokenizer.from_str(self._inner.to_str())
            cutting.no_truncation()
            if length is not None:
                cutting.enable_truncation(length)
            self._cutting[length] = cutting
        return self._cutting[length]


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(text, str) for text in value)


def _table(rows: Iterable[list[int]]) -> NDArray[np.int64]:
    return np.array(list(rows), np.int64)


def _open(path: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more particular
        raise InvalidModel(f"{path} is no tokenizer: {error}. Fetch it again.", path=str(path)) from error


def _padding(inner: tokenizers.Tokenizer, directory: Path) -> dict[str, Any]:
    """Return the file's own padding token and side, else those of the configuration beside it."""
    known = inner.padding
    if known:
        return {key: known[key] for key in ("direction", "pad_id", "pad_type_id", "pad_token")}
    config = _read(directory / "tokenizer_config.json")
    for key in ("pad_token", "eos_token"):  # decoders without a padding token pad with their end token
        token = _content(config.get(key))
        number = inner.token_to_id(token) if token else None
        if number is not None:
            return {"direction": config.get("padding_side", "right"), "pad_id": number, "pad_token": token}
    return {}


def _content(token: Any) -> str | None:
    """Return a special token's text, which configurations state bare or with attributes."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _longest(directory: Path) -> int | None:
    """Return the longest input that the model takes, as its configurations state it."""
    stated = [_read(directory / name).get(key) for name, key in _LIMITS]
    stated.append(longest(_read(directory / "config.json")))
    return min(
        (int(value) for value in stated if isinstance(value, int | float) and 0 < value < _UNBOUNDED), default=None
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidModel(f"{path} is not JSON ({error}): fetch it again, or remove it.", path=str(path)) from error
    return value if isinstance(value, dict) else {}
