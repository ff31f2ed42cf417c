"""
XML, which the vendor writes unless JSON is asked for: the same values, a list as an element for each of its items.
"""

from typing import Any
from xml.sax.saxutils import escape

XML_TYPE = "application/xml; charset=utf-8"


def encode_xml(document: dict[str, Any]) -> bytes:
    """The document as XML: each of its keys an element (there is one as a rule, the root)."""
    parts = "".join(_element(name, value) for name, value in document.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>{parts}'.encode()


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, one) for one in value)
    if value is None:
        return f"<{name}/>"
    if isinstance(value, dict):
        inner = "".join(_element(key, one) for key, one in value.items())
    else:
        inner = str(value).lower() if isinstance(value, bool) else escape(str(value))
    return f"<{name}>{inner}</{name}>"
