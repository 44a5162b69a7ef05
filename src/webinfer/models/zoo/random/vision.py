"""Models of images, and of images and text, without training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.models.zoo.architectures.vision.clip import clip
from webinfer.models.zoo.architectures.vision.vit import vit
from webinfer.models.zoo.formats.tokenizer import byte_characters
from webinfer.models.zoo.formats.weights import Weights, random_weights
from webinfer.models.zoo.random.entry import Architecture, one_file

_PIXELS = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}


def _vit(**head: Any) -> Architecture:
    """Return ViT-B/16, as google/vit-base-patch16-224 and its relatives state it."""
    config = {
        **head,
        "model_type": "vit",
        "hidden_act": "gelu",
        "hidden_size": 768,
        "image_size": 224,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "num_attention_heads": 12,
        "num_channels": 3,
        "num_hidden_layers": 12,
        "patch_size": 16,
        "qkv_bias": True,
    }
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 224, "width": 224},
        "resample": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        **_PIXELS,
    }
    return Architecture(config, one_file(vit), {"preprocessor_config.json": processor})


_CLIP: dict[str, Any] = {
    "architectures": ["CLIPModel"],
    "model_type": "clip",
    "projection_dim": 512,
    "logit_scale_init_value": 2.6592,  # the logarithm of 1 / 0.07
    "text_config": {
        "model_type": "clip_text_model",
        "hidden_act": "quick_gelu",
        "hidden_size": 512,
        "intermediate_size": 2048,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 77,
        "num_attention_heads": 8,
        "num_hidden_layers": 12,
        "vocab_size": 49408,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    },
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "image_size": 224,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-5,
        "num_attention_heads": 12,
        "num_channels": 3,
        "num_hidden_layers": 12,
        "patch_size": 32,
    },
}
_CLIP_PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    **_PIXELS,
}


def _clip_weights(seed: int) -> Weights:
    """Return random weights, except the temperature, which is the paper's first value, and a random class token."""
    others = random_weights(seed)

    def weight(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        if name == "logit_scale":
            return np.array(math.log(1 / 0.07), np.float32)
        return others(name, (1, *shape))[0] if name.endswith("class_embedding") else others(name, shape)

    return weight


def clip_tokenizer(vocabulary: int) -> dict[str, Any]:
    """Return a tokenizer of CLIP's form without its merges: each byte of a text is one token.

    CLIP's vocabulary starts with the 256 bytes, then the 256 that end a word, and ends with the start and end tokens.

    Args:
        vocabulary: Its size.
    """
    characters = byte_characters()
    table = {character: number for number, character in enumerate(characters)}
    table |= {f"{character}</w>": 256 + number for number, character in enumerate(characters)}
    start, end = vocabulary - 2, vocabulary - 1
    special = {"<|startoftext|>": start, "<|endoftext|>": end}
    options = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token, **options} for token, number in special.items()],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["<|endoftext|>", end],
            "cls": ["<|startoftext|>", start],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<|endoftext|>",
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": table | special,
            "merges": [],
        },
    }


MODELS = {
    "vit-base-patch16-224": _vit(
        architectures=["ViTForImageClassification"], id2label={str(number): f"LABEL_{number}" for number in range(1000)}
    ),
    "vit-base-patch16-224-in21k": _vit(architectures=["ViTModel"]),
    "clip-vit-base-patch32": Architecture(
        _CLIP,
        one_file(clip),
        {
            "preprocessor_config.json": _CLIP_PROCESSOR,
            "tokenizer.json": clip_tokenizer(_CLIP["text_config"]["vocab_size"]),
            "tokenizer_config.json": {"model_max_length": 77, "pad_token": "<|endoftext|>"},
        },
        _clip_weights,
    ),
}
