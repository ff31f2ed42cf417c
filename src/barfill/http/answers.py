"""Documents on their way out."""

from __future__ import annotations

import msgspec
from fastapi import Response

_encoder = msgspec.json.Encoder()


def json_answer(document: object) -> Response:
    """The document as JSON, not checked once more against its description: that is what tests do."""
    return Response(_encoder.encode(document), media_type="application/json")
