"""
The wire contract of Tradier's market data (providers.md section 5).
"""
