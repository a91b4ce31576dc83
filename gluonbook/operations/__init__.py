"""A net as the list of its operations, in order, by which two nets can be matched."""

from .gluon import fingerprint, gluon_ops, trace
from .ops import Op, TraceError

__all__ = ["Op", "TraceError", "fingerprint", "gluon_ops", "trace"]
