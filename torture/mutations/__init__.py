"""Mutations (R38): what keeps the data right is taken away, one piece at a time; each time a named test must fail."""
