"""The command line: one file per group of commands; `main.py` knows them by name and loads what is called."""
