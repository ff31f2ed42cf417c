"""
The simulated exchange: vendors' wire contracts over real HTTP, on one market that is synthetic or replayed from files.

It shares no code with the providers: what both sides misread alike, no test would find.
"""

from barfill.simulate.config import ExchangeConfig
from barfill.simulate.exchange import SimulatedExchange
from barfill.simulate.faults import fault_table, random_script
from barfill.simulate.ledger import Request
from barfill.simulate.market.replay import Served
from barfill.simulate.running import running_exchange, serve

__all__ = [
    "ExchangeConfig",
    "Request",
    "Served",
    "SimulatedExchange",
    "fault_table",
    "random_script",
    "running_exchange",
    "serve",
]
