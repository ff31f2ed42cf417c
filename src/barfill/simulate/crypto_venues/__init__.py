"""
Wire contracts of crypto venues, as ccxt reads them (providers.md 8).
"""
