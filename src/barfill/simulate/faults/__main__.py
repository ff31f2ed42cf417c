"""
Prints the table of faults.
"""

import sys

from barfill.simulate.faults import fault_table

sys.stdout.write(fault_table() + "\n")
