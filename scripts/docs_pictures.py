"""Draw the pictures of the explanation pages, as SVG files in docs/images. Run it after a change of a picture.

Lines and letters have the colour of the text around them, so one drawing serves light and dark. The site's hook puts
the drawings into its pages. Where a file is shown as it is, its own style chooses by the reader's colour scheme.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
HEAD = """\
<svg class="drawing" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}"
  font-family="system-ui, sans-serif" font-size="13" fill="none" stroke-width="1.2">
<style>
svg.drawing {{ color: #1f2328 }}
@media (prefers-color-scheme: dark) {{ svg.drawing {{ color: #e6edf3 }} }}
</style>
"""
LINE = 17  # pixels from one line of text to the next
ACCENT = "#5c6bc0"

ROOMS = {
    "cli": "the shell",
    "compat": "the guide's names",
    "bench": "contests measured with care, compared and kept",
    "api": "accelerator, its synchronous mirror, loading, router, gate",
    "pipelines": "tasks over models",
    "telemetry": "recorder, counters, database, reports",
    "inference": "model, request builder, result, sessions, probes",
    "tuning": "candidates, contest, results that are kept",
    "pool": "plan (pure), requests, fleet, maintenance",
    "browsers": "discovery, install, engines, launch, guard, lane",
    "deployment": "the graph that a backend gets, sharding",
    "quantization": "weights of fewer bits, calibration",
    "accuracy": "samples, native session, comparison",
    "models": "sources, IPFS, files, graphs, preprocessing, zoo",
    "transport": "wire (pure), connections, server",
    "core": "errors, options, tensors, capabilities, statistics, cache",
}

Point = tuple[float, float]


class Drawing:
    """Boxes, arrows and words, written down in the order in which they are drawn."""

    def __init__(self, title: str, width: int, height: int) -> None:
        self._parts = [HEAD.format(title=escape(title), width=width, height=height)]

    def box(self, at: Point, size: Point, title: str, *lines: str, accent: bool = False, dashed: bool = False) -> None:
        """Draw a box with a bold title and lines below it, centred.

        Args:
            at: Its upper left corner.
            size: Its width and height.
            title: The bold line.
            lines: Further lines.
            accent: Whether it is the one to look at first.
            dashed: Whether its border is dashed: it holds others.
        """
        (x, y), (width, height) = at, size
        colour = ACCENT if accent else "currentColor"
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._add(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="7" stroke="{colour}"{dash} '
            f'stroke-opacity="{1 if accent else 0.55}" fill="{colour}" fill-opacity="{0.16 if accent else 0.03}"/>'
        )
        top = y + 20 if dashed else y + height / 2 - LINE * len(lines) / 2 + 4.5
        self.text((x + width / 2, top), title, bold=True)
        for number, line in enumerate(lines, 1):
            self.text((x + width / 2, top + LINE * number), line, faint=True)

    def text(self, at: Point, words: str, *, bold: bool = False, faint: bool = False, anchor: str = "middle") -> None:
        """Write a line of text, its baseline at a point."""
        style = ' font-weight="600"' if bold else ' fill-opacity="0.8" font-size="12"' if faint else ""
        self._add(
            f'<text x="{at[0]}" y="{at[1]}" text-anchor="{anchor}" fill="currentColor"{style}>{escape(words)}</text>'
        )

    def arrow(self, *points: Point, label: str = "", dashed: bool = False, both: bool = False) -> None:
        """Draw a line through points with a head at its end, and words at the middle of its longest part."""
        path = "M" + " L".join(f"{x} {y}" for x, y in points)
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self._add(f'<path d="{path}" stroke="currentColor" stroke-opacity="0.75"{dash}/>')
        self._head(points[-2], points[-1])
        if both:
            self._head(points[1], points[0])
        if label:
            pairs = list(itertools.pairwise(points))
            (x, y), (to_x, to_y) = max(
                pairs, key=lambda pair: abs(pair[0][0] - pair[1][0]) + abs(pair[0][1] - pair[1][1])
            )
            if y == to_y:
                self.text(((x + to_x) / 2, y - 6), label, faint=True)
            else:
                self.text((max(x, to_x) + 7, (y + to_y) / 2 + 4), label, faint=True, anchor="start")

    def _head(self, start: Point, end: Point) -> None:
        (x, y), (to_x, to_y) = start, end
        length = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
        along, across = ((to_x - x) / length, (to_y - y) / length), ((y - to_y) / length, (to_x - x) / length)
        corners = [
            (to_x, to_y),
            (to_x - 8 * along[0] + 4 * across[0], to_y - 8 * along[1] + 4 * across[1]),
            (to_x - 8 * along[0] - 4 * across[0], to_y - 8 * along[1] - 4 * across[1]),
        ]
        outline = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        self._add(f'<polygon points="{outline}" fill="currentColor" fill-opacity="0.75"/>')

    def _add(self, part: str) -> None:
        self._parts.append(part + "\n")

    def __str__(self) -> str:
        return "".join([*self._parts, "</svg>\n"])


def house() -> Drawing:
    """The rooms and their order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(rule for rule in project["tool"]["importlinter"]["contracts"] if rule["id"] == "rooms")
    floors = [layer.split(" | ") for layer in contract["layers"]]
    drawing = Drawing("The rooms of the package, from the faces down to the core", 640, 40 * len(floors) + 16)
    for row, rooms in enumerate(floors):
        width = (560 - 10 * (len(rooms) - 1)) / len(rooms)
        for column, name in enumerate(rooms):
            at = (60 + column * (width + 10), 8 + 40 * row)
            drawing.box(at, (width, 33), "", accent=name == "pool")
            drawing.text((at[0] + 12, at[1] + 21), name, bold=True, anchor="start")
            drawing.text((at[0] + 110, at[1] + 21), ROOMS[name], faint=True, anchor="start")
    drawing.arrow((30, 16), (30, 40 * len(floors)))
    return drawing


def walk() -> Drawing:
    """A request's way down and its answer's way back."""
    drawing = Drawing("The way of a request: down to a lane, and back", 770, 256)
    stations = (
        ("caller", "any thread"),
        ("api", "one event loop"),
        ("inference", "request builder"),
        ("pool", "plan()"),
        ("lane", "a socket"),
        ("worker", "the runtime"),
    )
    for number, (name, what) in enumerate(stations):
        drawing.box((8 + 126 * number, 30), (110, 56), name, what, accent=name == "pool")
        if number:
            drawing.arrow((8 + 126 * number - 16, 50), (8 + 126 * number - 1, 50))
            drawing.arrow((8 + 126 * number - 1, 68), (8 + 126 * number - 16, 68), dashed=True)
    drawing.text((380, 18), "inputs go right; the result comes back (dashed)", faint=True)
    drawing.box((134, 160), (236, 62), "models", "reference → verified files", "→ delivered graph")
    drawing.arrow((189, 86), (189, 159), label="load")
    drawing.box((386, 160), (236, 62), "telemetry", "recorder, one counter store,", "database, reports")
    drawing.arrow((441, 86), (441, 159), label="events", dashed=True)
    drawing.arrow((252, 222), (252, 244), (693, 244), (693, 87), label="model files")
    return drawing


def browsers() -> Drawing:
    """Processes and sockets of a browser."""
    drawing = Drawing("A browser: the guardian starts it, its page and lanes dial back", 760, 300)
    drawing.box((8, 20), (210, 260), "Python process", dashed=True)
    drawing.box((28, 60), (170, 56), "browsers", "launch plan, guard")
    drawing.box((28, 150), (170, 110), "host", "HTTP and WebSocket,", "loopback only")
    drawing.box((282, 60), (150, 56), "guardian", "one per browser", accent=True)
    drawing.arrow((198, 88), (281, 88), label="pipe")
    drawing.box((496, 20), (256, 260), "browser processes", dashed=True)
    drawing.box((516, 60), (216, 60), "page", "capabilities, heartbeats, lanes")
    drawing.box((516, 150), (216, 44), "lane 1", "worker, own runtime")
    drawing.box((516, 210), (216, 44), "lane 2", "worker, own runtime")
    drawing.arrow((432, 75), (495, 75), label="starts")
    drawing.arrow((516, 104), (456, 104), (456, 165), (199, 165), both=True)
    drawing.arrow((516, 172), (470, 172), (470, 200), (199, 200), both=True)
    drawing.arrow((516, 232), (199, 232), both=True)
    drawing.text((330, 159), "page socket", faint=True)
    drawing.text((330, 194), "lane socket: tensors", faint=True)
    drawing.text((330, 226), "lane socket: tensors", faint=True)
    return drawing


def wire() -> Drawing:
    """A frame's bytes."""
    drawing = Drawing("A frame: length, header, tensors at multiples of eight bytes", 760, 190)
    drawing.box((8, 50), (90, 56), "u32", "length H")
    drawing.box((98, 50), (250, 56), "header", "JSON: kind, id, tensors", accent=True)
    drawing.box((348, 50), (60, 56), "", "spaces")
    drawing.box((408, 50), (150, 56), "tensor 1", "bytes as they are")
    drawing.box((558, 50), (40, 56), "", "0")
    drawing.box((598, 50), (154, 56), "tensor 2", "bytes as they are")
    for x in (408, 598):
        drawing.arrow((x, 136), (x, 109))
    drawing.text((503, 152), "offsets divide by 8: both sides make views, no copies", faint=True)
    drawing.text((8, 30), "offset 0", faint=True, anchor="start")
    drawing.text((98, 30), "4", faint=True)
    drawing.text((408, 30), "4 + H", faint=True)
    return drawing


def scheduling() -> Drawing:
    """The pool's one decision."""
    drawing = Drawing("Every change leads to one decision: plan(state)", 760, 260)
    drawing.box((8, 20), (190, 80), "changes", "a request comes, an answer,", "a loss, a timer")
    drawing.box((8, 150), (190, 90), "queues", "by priority, then models", "in turn, then by number")
    drawing.box((280, 80), (200, 96), "plan(state)", "pure: no clock, no I/O", "returns what to do now", accent=True)
    drawing.arrow((198, 60), (240, 60), (240, 110), (279, 110))
    drawing.arrow((198, 195), (240, 195), (240, 150), (279, 150))
    for number, (name, what) in enumerate(
        (("dispatch", "a batch to a lane"), ("load", "a session on a lane"), ("start, retire", "lanes and browsers"))
    ):
        drawing.box((562, 16 + 80 * number), (190, 60), name, what)
        drawing.arrow((480, 128), (520, 128), (520, 46 + 80 * number), (561, 46 + 80 * number))
    drawing.arrow((657, 236), (657, 252), (103, 252), (103, 241))
    return drawing


def models() -> Drawing:
    """From a reference to a session."""
    drawing = Drawing("From a reference to a session", 760, 240)
    drawing.box((8, 70), (130, 60), "reference", "path, hub, ipfs,", "wheel, random")
    drawing.box((166, 70), (130, 60), "source", "fetch and verify", "each file's hash")
    drawing.box((324, 70), (130, 60), "package", "files, signature,", "tokenizer")
    drawing.box((482, 70), (130, 60), "delivery", "graph without", "weights", accent=True)
    drawing.box((640, 70), (112, 60), "session", "on a lane")
    for x in (138, 296, 454, 612):
        drawing.arrow((x, 100), (x + 27, 100))
    drawing.box((324, 170), (130, 50), "quantization", "a worker process")
    drawing.arrow((389, 169), (389, 131), both=True)
    drawing.box((482, 170), (130, 50), "equivalence", "old and new graph")
    drawing.arrow((547, 169), (547, 131), both=True)
    drawing.arrow((389, 69), (389, 34), (696, 34), (696, 69), label="weights, by hash, straight from disk")
    return drawing


def accuracy() -> Drawing:
    """How a model's first answers are checked."""
    drawing = Drawing("The gate: the same samples here and in the browser", 760, 220)
    drawing.box((8, 80), (130, 60), "samples", "made from", "the signature")
    drawing.box((196, 20), (170, 60), "native onnxruntime", "the graph as it came")
    drawing.box((196, 140), (170, 60), "browser", "the delivered graph")
    drawing.arrow((138, 100), (166, 100), (166, 50), (195, 50))
    drawing.arrow((138, 120), (166, 120), (166, 170), (195, 170))
    drawing.box((424, 76), (150, 68), "comparison", "cosine, error,", "NaN, ranks", accent=True)
    drawing.arrow((366, 50), (396, 50), (396, 98), (423, 98))
    drawing.arrow((366, 170), (396, 170), (396, 122), (423, 122))
    drawing.box((630, 20), (122, 56), "passed", "kept in the cache")
    drawing.box((630, 140), (122, 60), "failed", "quarantine, next", "backend or error")
    drawing.arrow((574, 100), (602, 100), (602, 48), (629, 48))
    drawing.arrow((574, 120), (602, 120), (602, 170), (629, 170))
    return drawing


def recovery() -> Drawing:
    """What is lost, and what follows."""
    drawing = Drawing("Each loss has a recovery; the caller's error comes last", 760, 250)
    losses = (
        ("lane lost", "rerun on another lane"),
        ("page lost", "new browser"),
        ("browser lost", "new browser"),
        ("device lost", "new browser with its GPU"),
    )
    for number, (name, then) in enumerate(losses):
        drawing.box((8, 10 + 58 * number), (150, 44), name)
        drawing.box((230, 10 + 58 * number), (220, 44), then)
        drawing.arrow((158, 32 + 58 * number), (229, 32 + 58 * number))
        drawing.arrow((450, 32 + 58 * number), (486, 32 + 58 * number), (486, 119), (521, 119))
    drawing.box((522, 88), (230, 62), "the request runs again", "retries times at most", accent=True)
    drawing.box((522, 186), (230, 44), "one typed error")
    drawing.arrow((637, 150), (637, 185), label="if it is lost each time")
    return drawing


def telemetry() -> Drawing:
    """One recorder, one counter store, one database."""
    drawing = Drawing("Events are counted once, and read in three ways", 760, 250)
    drawing.box((8, 96), (130, 60), "pool, models", "events and results")
    drawing.box((196, 96), (130, 60), "recorder", "on the event loop", accent=True)
    drawing.arrow((138, 126), (195, 126))
    drawing.box((392, 20), (150, 60), "counters", "one store,", "bounded")
    drawing.box((392, 170), (150, 60), "writer thread", "rows, twice", "a second")
    drawing.arrow((326, 112), (360, 112), (360, 50), (391, 50))
    drawing.arrow((326, 140), (360, 140), (360, 200), (391, 200))
    for number, (name, what) in enumerate(
        (("metrics()", "Python"), ("/metrics", "Prometheus"), ("snapshot()", "webinfer top"))
    ):
        drawing.box((612, 4 + 50 * number), (140, 42), name, what)
        drawing.arrow((542, 50), (578, 50), (578, 25 + 50 * number), (611, 25 + 50 * number))
    drawing.box((612, 170), (140, 60), "DuckDB file", "query(), reports")
    drawing.arrow((542, 200), (611, 200))
    return drawing


def rounds() -> Drawing:
    """Turns of a benchmark."""
    drawing = Drawing("In each round every contestant has a turn, in a new order", 760, 150)
    names = ("WebNN", "wasm", "native", "noise")
    orders = ((0, 1, 2, 3), (2, 0, 3, 1), (1, 3, 0, 2))
    for number, order in enumerate(orders):
        left = 8 + 250 * number
        drawing.box((left, 30), (244, 80), f"round {number + 1}", dashed=True)
        for place, which in enumerate(order):
            drawing.box((left + 8 + 58 * place, 60), (54, 38), "", names[which], accent=which == 0)
    drawing.arrow((8, 132), (752, 132))
    drawing.text((380, 148), "time", faint=True)
    return drawing


PICTURES: dict[str, Callable[[], Drawing]] = {
    "accuracy": accuracy,
    "browsers": browsers,
    "house": house,
    "models": models,
    "recovery": recovery,
    "rounds": rounds,
    "scheduling": scheduling,
    "telemetry": telemetry,
    "walk": walk,
    "wire": wire,
}


def main() -> None:
    for name, draw in PICTURES.items():
        (IMAGES / f"{name}.svg").write_text(str(draw()), encoding="utf-8")


if __name__ == "__main__":
    main()
