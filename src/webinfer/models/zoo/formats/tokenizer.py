"""Tokenizers over bytes, in the form of ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def byte_tokenizer(
    vocabulary: Mapping[str, int], merges: Sequence[str], special: Sequence[str], *, digits: bool = False
) -> dict[str, Any]:
    """Return GPT-2's tokenizer: byte pairs, merged in order.

    Args:
        vocabulary: Tokens and their ids, in the characters that stand for bytes.
        merges: Pairs of tokens with a space between, first to last.
        special: Tokens of the vocabulary that no text is split into.
        digits: Digits stand alone.
    """
    options = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    pieces: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[token], "content": token, **options} for token in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, pieces]}
        if digits
        else pieces,
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": dict(vocabulary),
            "merges": [pair.split(" ") for pair in merges],
        },
    }


def byte_characters() -> list[str]:
    """Return the characters that stand for bytes in GPT-2's and CLIP's vocabularies, in the order of their ids."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(code) for code in printable] + [chr(256 + number) for number in range(256 - len(printable))]
