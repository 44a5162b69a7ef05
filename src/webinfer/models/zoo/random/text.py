"""Models of text without training."""

from __future__ import annotations

from webinfer.models.zoo.architectures.text.bert import bert
from webinfer.models.zoo.random.entry import Architecture, one_file


def _bert(layers: int, width: int, heads: int) -> Architecture:
    config = {
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
    return Architecture(config, one_file(bert))


# Sizes as in the papers' releases: bert-base-uncased, and the smallest of the BERT miniatures (arXiv:1908.08962).
MODELS = {
    "bert-base-uncased": _bert(12, 768, 12),
    "bert-tiny": _bert(2, 128, 2),
}
