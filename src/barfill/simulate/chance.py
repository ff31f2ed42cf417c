"""
Random numbers that are a pure function of where they are used.

A counter-based generator (the mixing steps of SplitMix64) instead of a stream: the number for a seed, symbol, session
and minute is the same whatever was asked before, so that any page can be made on its own.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_CHANNEL_STEP = 0xD1B54A32D192ED03
_MINUTE_BITS = np.uint64(16)


def key_of(seed: int, ticker: str) -> int:
    """The 64-bit key of a symbol's numbers."""
    return int.from_bytes(hashlib.blake2b(f"{seed}|{ticker}".encode(), digest_size=8).digest(), "big")


def uniforms(
    key: int, channel: int, days: NDArray[np.int64], minutes: NDArray[np.int64] | int = 0
) -> NDArray[np.float64]:
    """Numbers in [0, 1), one per (day, minute) of the broadcast of *days* and *minutes*; channels are independent."""
    base = np.uint64((key + channel * _CHANNEL_STEP) & _MASK)
    place = (days.astype(np.uint64) << _MINUTE_BITS) + np.asarray(minutes, dtype=np.uint64)
    return (_mixed(place * np.uint64(_GOLDEN) ^ base) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def bells(key: int, channel: int, days: NDArray[np.int64], minutes: NDArray[np.int64] | int = 0) -> NDArray[np.float64]:
    """Bell-shaped numbers, mean 0, variance 1, never beyond 3.5: the sum of two uniforms and a third."""
    total = sum(uniforms(key, channel + offset, days, minutes) for offset in (0, 1, 2))
    return (np.asarray(total, dtype=np.float64) - 1.5) * 2.0


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
