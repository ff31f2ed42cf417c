"""
The wire contract of Finnhub (providers.md section 6).
"""
