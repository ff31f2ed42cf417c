"""
How a simulated exchange is set up.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from barfill.errors import InvalidInput

PLANS = {"free": 200, "paid": 10_000}
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
        replay: Folder of bar files to serve instead of the synthetic market.
        requests_per_minute: Allowed per key and sliding minute; None is what the plan allows (free 200, paid 10,000).
        plan: "free" (SIP 15 minutes late) or "paid".
        faults: Lines of a fault script, see barfill.simulate.faults.
        start_clock: Where the clock starts; None is the real time.
        clock_is_frozen: The clock stands still until it is set or advanced.
        wrong_key_status: What a wrong key is answered with: 401 or 403 (sources disagree).
    """

    port: int = 8900
    host: str = "127.0.0.1"
    seed: int = 1
    symbols: int = 50
    replay: Path | None = None
    requests_per_minute: int | None = None
    plan: str = "free"
    faults: list[dict[str, Any]] = field(default_factory=list)
    start_clock: datetime | None = None
    clock_is_frozen: bool = False
    wrong_key_status: int = 401

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

    @property
    def allowed_per_minute(self) -> int:
        return self.requests_per_minute or PLANS[self.plan]
