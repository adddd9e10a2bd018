"""A reason why an offer cannot be taken."""

from __future__ import annotations

import msgspec


class Miss(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One reason why an offer cannot be taken.

    Attributes:
        why: in words, with both numbers: ``h100 has 80 GiB; you asked for 96``.
        gap: how far off it is: what was asked over what is there, minus one; 1 for a plain no.
        remedy: what would make it possible: ``--gpu-memory 80``; empty = nothing the user can say.
        is_unwanted: the user ruled it out.
        is_unmeasured: it would fit if the job's speed were known there.
    """

    why: str
    gap: float = 1.0
    remedy: str = ""
    is_unwanted: bool = False
    is_unmeasured: bool = False
