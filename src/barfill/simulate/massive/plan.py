"""
What a plan lets see (providers.md 4.3): the free one two years, and no part of today.

The trap: of a range that straddles the end of history the old part is missing without a word; only one that lies wholly
before it is refused.
"""

from dataclasses import dataclass
from datetime import date

from barfill.simulate.market.sessions import NEW_YORK, from_ns, midnight_ns
from barfill.simulate.massive.refusals import beyond_plan

#: Requests a minute. "Unlimited" is documented as under 100 a second.
PLANS = {"free": 5, "paid": 6_000}
_YEARS_FREE = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan at an instant."""

    is_free: bool
    now_ns: int

    @property
    def today(self) -> date:
        """The date in New York."""
        return from_ns(self.now_ns).astimezone(NEW_YORK).date()

    @property
    def history_from(self) -> date:
        """The first day that is served."""
        if not self.is_free:
            return date(1970, 1, 1)
        today = self.today
        # 29 February has none two years before.
        return today.replace(year=today.year - _YEARS_FREE, day=min(today.day, 28) if today.month == 2 else today.day)  # noqa: PLR2004

    def first_ns(self, start_ns: int, end_ns: int) -> int:
        """
        Where a range begins that the plan serves, silently later than *start_ns* where history does.

        Raises:
            Refusal: 403, it touches today or ends before history begins.
        """
        if not self.is_free:
            return start_ns
        history_ns = midnight_ns(self.history_from)
        if end_ns >= midnight_ns(self.today) or end_ns < history_ns:
            raise beyond_plan()
        return max(start_ns, history_ns)

    def check_day(self, day: date) -> None:
        """
        See that the plan serves *day*.

        Raises:
            Refusal: 403.
        """
        if self.is_free and not self.history_from <= day < self.today:
            raise beyond_plan()
