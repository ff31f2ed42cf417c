"""Use cases: the only place where providers and store meet."""
