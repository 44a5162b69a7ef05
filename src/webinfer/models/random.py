"""The source ``random:NAME``: exact architectures with seeded, untrained weights, for speed and plumbing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from webinfer.cache import cache_dir, claim
from webinfer.models.build import VERSION
from webinfer.models.build.bert import bert
from webinfer.models.build.weights import random_weights
from webinfer.models.directory import open_path
from webinfer.models.package import ORIGIN, ModelPackage
from webinfer.progress import Progress, ProgressCallback

SEED = 0


def _bert(layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }


# Sizes as in the papers' releases: bert-base-uncased, and the smallest of the BERT miniatures (arXiv:1908.08962).
CONFIGS: dict[str, dict[str, Any]] = {
    "bert-base-uncased": _bert(12, 768, 12),
    "bert-tiny": _bert(2, 128, 2),
}


def open_random(name: str, reference: str, progress: ProgressCallback | None) -> ModelPackage | None:
    """Build the model, unless it was built before. The weights take a few seconds per gigabyte to make.

    Returns:
        The model, or ``None`` for a name that is not in ``CONFIGS``.
    """
    config = CONFIGS.get(name)
    if config is None:
        return None
    directory = cache_dir() / "models" / "random" / f"{name}-{VERSION}"
    with claim(directory) as work:
        if work is not None:
            _build(name, config, work, progress)
    return open_path(directory, reference, name)


def names() -> list[str]:
    """Return the names that this source knows."""
    return sorted(CONFIGS)


def _build(name: str, config: dict[str, Any], work: Path, progress: ProgressCallback | None) -> None:
    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(f"build {name}", done, total))

    (work / "onnx").mkdir()
    bert(config).save(work / "onnx" / "model.onnx", random_weights(SEED), tell)
    (work / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    origin = {"origin": f"random:{name}", "weights": "random", "seed": SEED}
    (work / ORIGIN).write_text(json.dumps(origin, indent=2), encoding="utf-8")
