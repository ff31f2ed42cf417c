"""
The market behind every vendor: symbols, sessions, and bars that are invented or read from files.

Nothing in here knows how a vendor writes any of it.
"""
