"""The torture test: workers, database and network killed and cut while work flows; at the end all is as the source."""
