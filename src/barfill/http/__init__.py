"""barfill over HTTP: what the command line says and does, for applications. `create_app` builds it."""

from barfill.http.app import create_app
from barfill.http.context import Context

__all__ = ["Context", "create_app"]
