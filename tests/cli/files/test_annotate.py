"""What was found in a photograph is drawn into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageColor

from tests.cli.conftest import Call
from tests.photos import picture
from tests.pipelines.small_vision import detector
from webinfer.cli.files.annotate import COLOURS, draw

FIRST, SECOND = (ImageColor.getrgb(colour) for colour in COLOURS[:2])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A black picture that lies on its side, and says so: upright it is 200 wide and 300 high."""
    path = tmp_path / "photo.png"
    sideways = Image.new("RGB", (300, 200))
    sideways.getexif()[0x0112] = 6
    sideways.save(path, exif=sideways.getexif())
    return path


def box(label: str, score: float, *corners: int) -> dict[str, object]:
    return {"label": label, "score": score, "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))}


def test_each_label_has_a_colour_and_boxes_lie_where_the_objects_are(photo: Path, tmp_path: Path) -> None:
    found = [box("cat", 0.9, 20, 50, 120, 150), box("dog", 0.8, 30, 180, 190, 290), box("cat", 0.7, -5, 5, 500, 20)]
    draw(str(photo), found, tmp_path / "boxes.png")
    drawn = picture(tmp_path / "boxes.png")
    assert drawn.size == (200, 300)
    assert [drawn.getpixel(at) for at in ((20, 140), (120, 100), (70, 150))] == [FIRST] * 3
    assert [drawn.getpixel(at) for at in ((30, 240), (190, 240), (100, 290))] == [SECOND] * 3
    assert drawn.getpixel((70, 120)) == drawn.getpixel((100, 260)) == (0, 0, 0)
    assert drawn.getpixel((150, 20)) == FIRST  # what reaches beyond the picture is cut off


@pytest.mark.browser("embedded")
def test_command_writes_the_picture_beside_the_table(call: Call, embedded: str, photo: Path, tmp_path: Path) -> None:
    model, target = str(detector(tmp_path / "detr")), tmp_path / "boxes.png"
    said = ("run", model, str(photo), "--task", "object-detection", "--set", "threshold=0.3", "-b", embedded, "-q")
    told = call(*said, "-p", "wasm", "--json", "-o", str(target)).object
    assert told["output"] == str(target)
    corners = [(each["box"]["xmin"], each["box"]["ymax"]) for each in told["answer"]]
    drawn = picture(target)
    assert corners
    assert all(drawn.getpixel(at) != (0, 0, 0) for at in corners)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--task", "fill-mask", "a", "-o", "a.png"), "takes object-detection and one image"),
        (("--task", "object-detection", "a.png", "b.png", "-o", "c.png"), "takes object-detection and one image"),
        (("--task", "object-detection", "a.png", "-o", "c.npz"), "is no image file"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_starts(
    call: Call, probe: str, arguments: tuple[str, ...], complaint: str
) -> None:
    answer = call("run", probe, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert complaint in " ".join(answer.err.split())
