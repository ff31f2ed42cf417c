"""What to do about an error by its code: the last column of docs/reference/errors.md, word for word."""

from __future__ import annotations

from collections.abc import Mapping

ADVICE: Mapping[str, str] = {
    "INVALID_SETTINGS": "correct it; `barfill doctor` shows each with its source",
    "INVALID_INPUT": "correct it",
    "INVALID_TIMEFRAME": "use one of `1m 5m 15m 30m 1h 4h 1d 1w`",
    "SYMBOL_NOT_FOUND": "check the spelling; class shares have a dot (`BRK.B`)",
    "NOT_FOUND": "the text lists what there is",
    "UNAUTHORIZED": "check the keys with `barfill doctor`",
    "FORBIDDEN_PLAN": "set the plan you have, or get another",
    "RATE_LIMIT_EXCEEDED": "somebody else uses the key; lower `ALPACA_REQUESTS_PER_MINUTE`",
    "BUDGET_SPENT": "run it again after 00:00 UTC, or raise the budget",
    "PROVIDER_UNAVAILABLE": "check the base URL and the provider's status page",
    "TIMEOUT": "run it again later",
    "BAD_RESPONSE": "run it again; if it stays, report it with the request id",
    "VALIDATION_FAILED": "use the feed the series has, or another database",
    "DATABASE_ERROR": "the text says which; free space, or point `DATABASE_URL` elsewhere",
    "WORKER_LOST": "look at the workers' logs; `barfill jobs retry` goes on with it",
    "CANCELLED": "nothing; `barfill jobs retry` goes on with it",
    "INTERNAL_ERROR": "run it with `BARFILL_DEBUG=1` and report what it prints",
}
