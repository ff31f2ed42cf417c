"""
Alpaca's wire contract.
"""
