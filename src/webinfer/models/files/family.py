"""The family that a model belongs to, by its configuration or else by its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from webinfer.core.tensors import Signature

Family = Literal["text_embedding", "vision", "audio", "text_generation", "multimodal", "unknown"]

# The value of ``model_type`` in config.json, as transformers writes it.
_MODEL_TYPES: dict[Family, set[str]] = {
    "text_embedding": {
        "albert",
        "bert",
        "camembert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "modernbert",
        "mpnet",
        "new",
        "nomic_bert",
        "roberta",
        "xlm-roberta",
    },
    "vision": {
        "beit",
        "convnext",
        "deit",
        "detr",
        "dinov2",
        "efficientnet",
        "mobilenet_v2",
        "mobilevit",
        "resnet",
        "segformer",
        "swin",
        "vit",
    },
    "audio": {"hubert", "moonshine", "speecht5", "unispeech", "wav2vec2", "wavlm", "whisper"},
    "text_generation": {
        "bloom",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_neo",
        "gpt_neox",
        "llama",
        "mistral",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
        "t5",
    },
    "multimodal": {"blip", "clip", "idefics3", "llava", "qwen2_vl", "siglip", "vision-encoder-decoder"},
}
# The ends of the names in ``architectures``, for types that are not listed.
_ARCHITECTURES: tuple[tuple[str, Family], ...] = (
    ("ForCausalLM", "text_generation"),
    ("LMHeadModel", "text_generation"),
    ("ForImageClassification", "vision"),
    ("ForObjectDetection", "vision"),
    ("ForAudioClassification", "audio"),
    ("ForCTC", "audio"),
    ("ForSpeechSeq2Seq", "audio"),
    ("ForMaskedLM", "text_embedding"),
    ("ForSequenceClassification", "text_embedding"),
)


def family(config: Mapping[str, Any], signature: Signature) -> Family:
    """Return a model's family.

    Args:
        config: Its config.json; may be empty.
        signature: Its inputs decide where the configuration says nothing.
    """
    kind = str(config.get("model_type"))
    for name, kinds in _MODEL_TYPES.items():
        if kind in kinds:
            return name
    for architecture in config.get("architectures") or ():
        for end, name in _ARCHITECTURES:
            if str(architecture).endswith(end):
                return name
    return _by_inputs({spec.name for spec in signature.inputs})


def _by_inputs(names: set[str]) -> Family:
    text, image = "input_ids" in names, "pixel_values" in names
    if text and image:
        return "multimodal"
    if image:
        return "vision"
    if names & {"input_features", "input_values", "audio_values"}:
        return "audio"
    if any(name.startswith("past_key_values") for name in names):
        return "text_generation"
    return "text_embedding" if text else "unknown"
