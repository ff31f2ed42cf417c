"""
The wire contract of Massive, formerly Polygon.io (providers.md section 4).
"""
