"""Blocks on disk: never an unverified byte under a verified name."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.ipfs.conftest import kept
from webinfer.core.errors import FetchError, IntegrityError, StoreError
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import CID, RAW
from webinfer.models.sources.ipfs.store.block_store import BlockStore

BLOCK = Block.of(RAW, b"hello world")


def test_block_is_found_again(store: BlockStore) -> None:
    assert store.find(BLOCK.cid) is None
    assert not store.holds(BLOCK.cid)
    store.put(BLOCK)
    store.put(BLOCK)
    assert store.get(BLOCK.cid) == BLOCK.data
    assert store.holds(BLOCK.cid)
    assert len(kept(store)) == 1


def test_inline_block_needs_no_file(store: BlockStore) -> None:
    cid = CID.parse("bafkqaaa")
    store.put(Block(cid, b""))
    assert store.get(cid) == b""
    assert kept(store) == []


def test_changed_bytes_are_not_kept(store: BlockStore) -> None:
    with pytest.raises(IntegrityError):
        store.put(Block(BLOCK.cid, b"evil"))
    assert kept(store) == []


def test_block_that_rotted_on_disk_is_as_if_it_had_never_been_there(store: BlockStore) -> None:
    store.put(BLOCK)
    kept(store)[0].write_bytes(b"hello worlD")
    os.utime(kept(store)[0], (1, 1))  # time as the disk counts it may not have passed since the block was kept
    with pytest.raises(FetchError, match="not in the store"):
        store.get(BLOCK.cid)
    store.put(BLOCK)
    assert store.get(BLOCK.cid) == BLOCK.data


def test_full_disk_is_a_typed_error_and_leaves_nothing(store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        with pytest.raises(StoreError, match="disk is full") as caught:
            store.put(BLOCK)
    assert caught.value.data["errno"] == errno.ENOSPC
    assert kept(store) == []
    store.put(BLOCK)
    assert store.get(BLOCK.cid) == BLOCK.data


def test_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="WEBINFER_CACHE"):
        BlockStore(tmp_path / "file").put(BLOCK)


FILL = """
import sys
from pathlib import Path
from webinfer.models.ipfs.block import Block
from webinfer.models.ipfs.cid import RAW
from webinfer.models.sources.ipfs.store.block_store import BlockStore

store = BlockStore(Path(sys.argv[1]))
sys.stdin.read()  # both begin when the test says so
for number in range(60):
    block = Block.of(RAW, bytes([number]) * 20_000)
    store.put(block)
    assert store.get(block.cid) == block.data
"""


def test_two_processes_fill_one_store(store: BlockStore) -> None:
    command = [sys.executable, "-c", FILL, str(store.directory)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0]
    blocks = [Block.of(RAW, bytes([number]) * 20_000) for number in range(60)]
    assert len(kept(store)) == len(blocks)
    assert all(store.get(block.cid) == block.data for block in blocks)
