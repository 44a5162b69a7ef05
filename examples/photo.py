"""What is in a picture: one that is drawn on the spot, or those whose paths are given."""

from __future__ import annotations

import sys

from PIL import Image, ImageDraw

import webinfer


def clock() -> Image.Image:
    """Draw a clock on a wall, at ten past ten."""
    image = Image.new("RGB", (400, 300), (206, 196, 176))
    pen = ImageDraw.Draw(image)
    pen.ellipse((90, 40, 310, 260), fill="white", outline="black", width=12)
    for hand, width in (((262, 92), 7), ((150, 118), 10)):
        pen.line([(200, 150), hand], fill="black", width=width)
    return image


with webinfer.pipeline("image-classification", top_k=3) as classify:
    for picture in sys.argv[1:] or [clock()]:
        print(picture if isinstance(picture, str) else "drawn", classify(picture))
