"""
How a simulated exchange is set up.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from barfill.errors import InvalidInput

PLANS = ("free", "paid")
NEXT_URL_HOSTS = ("own", "vendor")
CRYPTO_DAYS = ("utc", "chicago")
_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeConfig:
    """
    The settings of one exchange.

    Attributes:
        port: TCP port; 0 takes a free one.
        host: Address to listen on.
        seed: Of the synthetic market and of faults with a rate.
        symbols: How many symbols the synthetic market has.
        is_eventful: Those beyond the named fifty are halted, thin, newly listed, delisted or renamed, by chance: see
            market/eventful.py.
        replay: Folder of bar files to serve instead of the synthetic market.
        requests_per_minute: Allowed per vendor, key and minute; None is what the vendor's plan allows.
        plan: "free" or "paid": what that means is the vendor's business, see docs/simulate.md.
        faults: Lines of a fault script, see barfill.simulate.faults.
        start_clock: Where the clock starts; None is the real time.
        clock_is_frozen: The clock stands still until it is set or advanced.
        next_url_host: Whose host Massive's next_url names: "own", this exchange's, or "vendor".
        crypto_days: When days of crypto at Alpaca begin: "utc", or "chicago": before 2025-07 at midnight in Chicago.
        wrong_key_status: What Alpaca answers a wrong key with: 401 or 403 (sources disagree).
    """

    port: int = 8900
    host: str = "127.0.0.1"
    seed: int = 1
    symbols: int = 50
    is_eventful: bool = False
    replay: Path | None = None
    requests_per_minute: int | None = None
    plan: str = "free"
    faults: list[dict[str, Any]] = field(default_factory=list)
    start_clock: datetime | None = None
    clock_is_frozen: bool = False
    wrong_key_status: int = 401
    next_url_host: str = "own"
    crypto_days: str = "utc"

    def __post_init__(self) -> None:
        if self.plan not in PLANS:
            raise InvalidInput(f"Plan '{self.plan}' is unknown. Use one of {', '.join(PLANS)}.")
        if not 0 <= self.port <= _PORT_MAX:
            raise InvalidInput(f"Port {self.port} is impossible. Use 0 (any free one) to {_PORT_MAX}.")
        if self.symbols < 1:
            raise InvalidInput(f"{self.symbols} symbols are too few. Use 1 or more.")
        if self.requests_per_minute is not None and self.requests_per_minute < 1:
            raise InvalidInput(f"{self.requests_per_minute} requests per minute are too few. Use 1 or more.")
        if self.start_clock is not None and self.start_clock.tzinfo is None:
            raise InvalidInput(f"Clock '{self.start_clock}' has no time zone. Write {self.start_clock.isoformat()}Z.")
        if self.wrong_key_status not in {401, 403}:
            raise InvalidInput(f"Status {self.wrong_key_status} is none for a wrong key. Use 401 or 403.")
        if self.next_url_host not in NEXT_URL_HOSTS:
            raise InvalidInput(f"Host '{self.next_url_host}' is unknown. Use one of {', '.join(NEXT_URL_HOSTS)}.")
        if self.crypto_days not in CRYPTO_DAYS:
            raise InvalidInput(f"Crypto days '{self.crypto_days}' are unknown. Use one of {', '.join(CRYPTO_DAYS)}.")
