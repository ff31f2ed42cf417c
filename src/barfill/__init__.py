"""barfill: your own complete, verified history of market bars."""

__version__ = "0.1.0"
