"""Where a model runs and where its time goes: a lane, a backend for each node, an operator's seconds."""

from webinfer.core.placement.lane_id import LaneId
from webinfer.core.placement.placement import Nodes, Placement, PlacementReport, operators, refuse_fallback
from webinfer.core.placement.profile import (
    COMPILED,
    Milliseconds,
    Operator,
    OperatorReport,
    PhaseReport,
    Phases,
    Profile,
)

__all__ = [
    "COMPILED",
    "LaneId",
    "Milliseconds",
    "Nodes",
    "Operator",
    "OperatorReport",
    "PhaseReport",
    "Phases",
    "Placement",
    "PlacementReport",
    "Profile",
    "operators",
    "refuse_fallback",
]
