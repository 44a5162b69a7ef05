"""``webinfer ipfs``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.models.ipfs.conftest import contents, kept
from webinfer.cli import app
from webinfer.models.ipfs.cid import CID
from webinfer.models.sources.ipfs.store.block_store import BlockStore


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ipfs", *arguments], catch_exceptions=False)


@pytest.fixture
def added(directory: Path) -> str:
    """The directory's CID, as `add` prints it."""
    result = call("add", str(directory))
    assert result.exit_code == 0
    return result.stdout.strip()


def test_add_prints_the_cid_and_ls_cat_and_get_give_the_files_back(
    added: str, root: CID, directory: Path, tmp_path: Path
) -> None:
    assert added == str(root)
    assert [line.split()[2] for line in call("ls", added).stdout.splitlines()] == ["config.json", "empty", "onnx"]
    assert call("cat", f"ipfs://{added}/config.json").stdout == "{}"
    assert call("get", added, "-o", str(tmp_path / "out")).exit_code == 0
    assert contents(tmp_path / "out") == contents(directory)
    assert "there already" in call("get", added, "-o", str(tmp_path / "out")).stderr


def test_json_is_one_object(added: str, directory: Path) -> None:
    assert json.loads(call("add", str(directory), "--json").stdout)["cid"] == added
    listing = json.loads(call("ls", added, "--json").stdout)
    assert [entry["name"] for entry in listing["entries"]] == ["config.json", "empty", "onnx"]
    assert json.loads(call("verify", added, "--json").stdout)["whole"]


def test_directory_has_no_contents_to_print(added: str) -> None:
    result = call("cat", f"{added}/onnx")
    assert result.exit_code == 1
    assert "is a directory" in " ".join(result.stderr.split())


def test_verify_finds_a_rotten_block(added: str) -> None:
    largest = max(kept(BlockStore()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"!")
    result = call("verify", added, "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert len(error["data"]["missing"]) == 1
    assert not largest.exists()


def test_archive_carries_a_directory_to_another_store(
    added: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.car"
    assert call("export", added, str(file)).exit_code == 0
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "elsewhere"))
    assert call("import", str(file)).stdout.strip() == added
    assert call("get", added, "-o", str(tmp_path / "out")).exit_code == 0
    assert contents(tmp_path / "out") == contents(directory)


@pytest.mark.parametrize("spoil", ["changed", "cut off", "no archive"])
def test_bad_archive_is_refused_and_the_store_stays_clean(
    spoil: str, added: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.car"
    call("export", added, str(file))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(
        {"changed": bytes(data), "cut off": bytes(data[: len(data) // 2]), "no archive": b"x" * 999}[spoil]
    )
    good = {path.name: path.read_bytes() for path in kept(BlockStore())}
    monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "elsewhere"))
    result = call("import", str(file), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] in ("model.integrity", "model.fetch")
    assert {path.name: path.read_bytes() for path in kept(BlockStore())}.items() <= good.items()


def test_serve_feeds_another_machine(
    added: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "webinfer", "ipfs", "serve", "--port", "0", "--quiet"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ)
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            monkeypatch.setenv("WEBINFER_CACHE", str(tmp_path / "elsewhere"))
            assert call("get", added, "-o", str(tmp_path / "out"), "--gateway", url).exit_code == 0
        finally:
            process.terminate()
    assert contents(tmp_path / "out") == contents(directory)


def test_wrong_cid_is_a_typed_error() -> None:
    result = call("get", "nonsense")
    assert result.exit_code == 1
    assert "model.not_found" in result.stderr
