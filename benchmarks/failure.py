"""Why a run gave no figures."""

from __future__ import annotations


class RunFailed(Exception):
    """A worker or an inserter did not do its part; the message ends with what it said last."""
