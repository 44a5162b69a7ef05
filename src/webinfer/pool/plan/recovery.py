"""What follows the loss of a lane or a browser: the recovery ladder, as one pure function.

The requests that a loss hits are not the ladder's matter: they are run again wherever there is room.
"""

from __future__ import annotations

from typing import Literal

Loss = Literal["lane", "device", "gpu refused", "gpu hangs", "browser"]
"""What was lost.

``lane``: a lane's worker or socket. ``device``: a lane's GPU device. ``gpu refused``: a browser grants a lane no GPU.
``gpu hangs``: what a lane had the GPU compute does not end. ``browser``: a browser, or its page.
"""

Step = Literal["nothing", "stop lane", "new lane", "new browser"]
"""What is done about it.

``stop lane``: end the lane's worker. ``new lane``: the same, and start another lane in the same browser. ``new
browser``: end the browser with all its lanes; the next plan starts its successor.
"""


def next_step(loss: Loss, *, up: bool, retired: bool = False, lost_gpu: bool = False) -> Step:
    """Decide what follows a loss: the smallest step that can help.

    Args:
        loss: What was lost.
        up: Whether the browser is counted on. One that ends has no need of new lanes.
        retired: Whether the lane was about to end.
        lost_gpu: Whether the browser lost a GPU device before.

    Returns:
        What is done about it.
    """
    if loss == "browser":
        return "new browser" if up else "nothing"
    if loss == "gpu refused":
        # After some crashes of its GPU process, Chromium grants no adapter any more for as long as it runs. A browser
        # that never lost a device has none to grant: then there is nothing to recover from.
        return "new browser" if up and lost_gpu else "nothing"
    if loss == "gpu hangs" and up:
        return "new browser"  # the GPU process computes on, or hangs, after the lane that asked for it has ended
    if retired:
        return "stop lane"  # which fails what it still has, and so lets it end
    return "new lane" if up else "stop lane"
