"""HTTP in: one client, one protocol, one file per provider."""
