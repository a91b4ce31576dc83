"""A net as the list of its operations, in order, by which two nets can be matched."""

from .gluon import fingerprint, gluon_ops, trace
from .ops import (
    NORMS,
    USUAL,
    Described,
    Node,
    Op,
    TraceError,
    described,
    in_order,
    once,
    weights_by_role,
)

__all__ = [
    "NORMS",
    "USUAL",
    "Described",
    "Node",
    "Op",
    "TraceError",
    "described",
    "fingerprint",
    "gluon_ops",
    "in_order",
    "once",
    "trace",
    "weights_by_role",
]
