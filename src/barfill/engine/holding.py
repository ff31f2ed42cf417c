"""
What keeps a key's requests back for longer than one waits, and the runs that wait for its end.

Looked at before work is planned or taken up: a budget that was raised, a pause that was lifted or a key that was
corrected makes the runs due that were put aside for it.
"""

from __future__ import annotations

import asyncio

from barfill.errors import BarfillError, CredentialsRejected, DailyBudgetSpent, ProviderError
from barfill.providers.client import ProviderClient
from barfill.store.database import Database
from barfill.store.queue import wake

BUDGET_SPENT = "budget_spent"
PAUSED = "paused"
"""What runs that were put aside have for a reason."""
TRIAL_TICKER = "AAPL"
"""Every provider of stocks knows it."""


async def look_at_key(database: Database, client: ProviderClient) -> BarfillError | None:
    """
    What keeps the key's requests back; None where nothing does, and then the runs that waited for it are due.

    A key that was rejected some time may have been corrected: one request tries, at most one in the life of a process.

    Raises:
        StoreError: The database cannot be asked.
    """
    held = await client.held_by()
    if isinstance(held, CredentialsRejected):
        held = await _tried(client)
    if held is None:
        await asyncio.to_thread(lambda: database.run(wake, client.provider.name, (BUDGET_SPENT, PAUSED)))
    return held


async def _tried(client: ProviderClient) -> BarfillError | None:
    try:
        await client.find_symbols([TRIAL_TICKER])
    except (ProviderError, DailyBudgetSpent) as error:
        return error
    return None
