"""Write fixtures/wire/golden.json: frames that both test suites must read and write alike.

The valid frames are made by hand here, byte by byte, not by the codec that they test.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).parent.parent / "fixtures" / "wire" / "golden.json"
WIDE = ("int64", "uint64")  # as strings: JavaScript's numbers cannot hold them


def frame(header: dict[str, Any] | bytes, body: bytes = b"") -> bytes:
    head = (
        header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    )
    head += b" " * (-(4 + len(head)) % 8)
    return struct.pack("<I", len(head)) + head + body


def tensor(name: str, dtype: str, array: Any) -> dict[str, Any]:
    values = np.asarray(array, dtype)
    flat = [str(v) for v in values.ravel().tolist()] if dtype in WIDE else values.ravel().tolist()
    return {"name": name, "dtype": dtype, "shape": list(values.shape), "values": flat, "bytes": values.tobytes()}


def text(name: str, strings: list[str]) -> dict[str, Any]:
    packed = json.dumps(strings, separators=(",", ":"), ensure_ascii=False).encode()
    whole = struct.pack("<Q", len(packed)) + packed
    return {"name": name, "dtype": "string", "shape": [len(strings)], "values": strings, "bytes": whole}


def valid(name: str, header: dict[str, Any], tensors: list[dict[str, Any]]) -> dict[str, Any]:
    body = b""
    for entry in tensors:
        body += b"\0" * (-len(body) % 8) + entry["bytes"]
    full = {**header, "tensors": [[t["name"], t["dtype"], t["shape"]] for t in tensors]} if tensors else header
    shown = [{key: value for key, value in t.items() if key != "bytes"} for t in tensors]
    return {"name": name, "hex": frame(full, body).hex(), "header": header, "tensors": shown}


def broken(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "hex": data.hex(), "error": "protocol.malformed"}


def cases() -> list[dict[str, Any]]:
    run = {"kind": "run", "id": 7, "session": "s1", "outputs": None}
    stays = {"outputs": ["logits"], "feeds": {"past.0": "h1"}, "keep": {"present.0": "h2"}, "free": ["h1"]}
    every = [
        tensor("f32", "float32", [1.5, -2.0, 0.0]),
        tensor("f16", "float16", [0.5, -4.0, 65504.0]),
        tensor("f64", "float64", [1e300]),
        tensor("i8", "int8", [-128, 127, 1]),
        tensor("u8", "uint8", [0, 255]),
        tensor("i16", "int16", [-32768]),
        tensor("u16", "uint16", [65535]),
        tensor("i32", "int32", [-(2**31)]),
        tensor("u32", "uint32", [2**32 - 1]),
        tensor("i64", "int64", [-(2**63), 2**63 - 1]),
        tensor("u64", "uint64", [2**64 - 1]),
        tensor("flag", "bool", [True, False, True]),
    ]
    small = struct.pack("<f", 1.0)
    one = {"kind": "ok", "id": 1, "tensors": [["x", "float32", [1]]]}
    return [
        valid("no tensors", {"kind": "ping"}, []),
        valid(
            "unicode and nesting",
            {"kind": "error", "id": 3, "error": {"code": "backend.run", "message": "größer als 2 GB – 模型"}},
            [],
        ),
        valid("unknown field", {"kind": "pong", "later": {"a": [1, None, True]}}, []),
        valid("one tensor", run, [tensor("input_ids", "int64", [[101, 2023, 102]])]),
        valid("every dtype", run, every),
        valid("strings", run, [text("s", ["one", "zwölf", "", '"\\/']), tensor("x", "uint8", [7]), text("none", [])]),
        valid("scalar", run, [tensor("x", "float32", 3.25)]),
        valid("empty tensor", run, [tensor("x", "float32", np.zeros((0, 4))), tensor("y", "uint8", [7])]),
        valid("tensors that stay", {**run, **stays}, [tensor("input_ids", "int64", [[7]])]),
        valid(
            "a profile",
            {
                "kind": "profile",
                "id": 9,
                "backend": "webgpu",
                "model": {"url": "/models/a", "nbytes": 3},
                "operators": True,
                "runs": 3,
                "limit": 5000,
            },
            [tensor("x", "float32", [[1.5]])],
        ),
        valid("a measurement", {"kind": "measure", "id": 8, "limit": 1000}, []),
        valid(
            "speeds",
            {"kind": "ok", "id": 8, "gpu": {"gflops": 12.5, "gbps": 3.25}, "cpu": {"gflops": 20.25, "gbps": 9.5}},
            [],
        ),
        valid("gap between tensors", run, [tensor("a", "uint8", [1, 2, 3]), tensor("b", "float64", [0.25])]),
        broken("empty", b""),
        broken("three bytes", b"\1\0\0"),
        broken("header past the end", struct.pack("<I", 4092) + b"{}"),
        broken("header not padded", struct.pack("<I", 15) + b'{"kind":"ping"}'),
        broken("header not JSON", frame(b'{"kind":')),
        broken("header not UTF-8", frame(b'{"kind":"\xff\xfe"}')),
        broken("header not an object", frame(b'["kind"]')),
        broken("no kind", frame({"id": 1})),
        broken("kind not a string", frame({"kind": 4})),
        broken("id not a number", frame({"kind": "ok", "id": "1"})),
        broken("id negative", frame({"kind": "ok", "id": -1})),
        broken("bytes after the header", frame({"kind": "ping"}, b"12345678")),
        broken("tensor past the end", frame(one, b"\0\0")),
        broken("bytes after the tensors", frame(one, small + b"\0")),
        broken("unknown dtype", frame({"kind": "ok", "id": 1, "tensors": [["x", "bfloat16", [2]]]}, small)),
        broken(
            "strings past the end",
            frame({"kind": "ok", "id": 1, "tensors": [["x", "string", [0]]]}, b"\x09" + bytes(15)),
        ),
        broken("strings without a length", frame({"kind": "ok", "id": 1, "tensors": [["x", "string", [0]]]}, b"[]")),
        broken("negative dimension", frame({"kind": "ok", "id": 1, "tensors": [["x", "float32", [-1]]]}, small)),
        broken("fractional dimension", frame({"kind": "ok", "id": 1, "tensors": [["x", "float32", [1.5]]]}, small)),
        broken("huge dimensions", frame({"kind": "ok", "id": 1, "tensors": [["x", "float32", [2**40, 2**40]]]}, small)),
        broken("tensors not a list", frame({"kind": "ok", "id": 1, "tensors": {"x": 1}}, small)),
        broken("tensor without a shape", frame({"kind": "ok", "id": 1, "tensors": [["x", "float32"]]}, small)),
        broken(
            "tensor twice",
            frame({"kind": "ok", "id": 1, "tensors": [["x", "float32", [1]], ["x", "float32", [0]]]}, small),
        ),
    ]


if __name__ == "__main__":
    TARGET.write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases()) + "\n]\n")
