"""For whoever watches over the process: is it alive, can it work."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from barfill.http.context import InContext
from barfill.http.problems import PROBLEMS

router = APIRouter(tags=["probes"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


@router.get("/healthz")
async def healthz() -> Alive:
    """Whether the process answers; it asks nobody."""
    return Alive()


@router.get("/readyz", responses={503: PROBLEMS[503]})
def readyz(context: InContext) -> Alive:
    """Whether the database answers as well."""
    context.database.now()
    return Alive()
