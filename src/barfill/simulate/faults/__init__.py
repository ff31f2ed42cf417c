"""
Faults on command: the catalogue of what can go wrong and the script that says when.

The table of all faults with their args is made from the code: ``python -m barfill.simulate.faults`` prints it.
"""

from barfill.simulate.faults import (
    calendars,
    crypto,
    documents,
    events,
    paging,
    quirks,
    replies,
    restating,
    rows,
    stamps,
    transport,
)
from barfill.simulate.faults.catalogue import catalogue, fault_table
from barfill.simulate.faults.script import FaultScript, random_script

#: Importing these modules fills the catalogue.
MODULES = (calendars, crypto, documents, events, paging, quirks, replies, restating, rows, stamps, transport)

__all__ = ["FaultScript", "catalogue", "fault_table", "random_script"]
