"""The seeded simulation (R28): workers, queue and exchange in one process under a virtual clock, the same each time."""
