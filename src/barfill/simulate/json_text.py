"""
JSON as the vendors' servers write it.
"""

from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()


def encode_json(value: Any) -> bytes:
    """Compact JSON; whole floats as integers, as Go writes them. msgspec.Raw values are put in as they are."""
    return _ENCODER.encode(value).replace(b".0,", b",").replace(b".0}", b"}")
