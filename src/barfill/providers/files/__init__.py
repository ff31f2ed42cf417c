"""
Files of bars as a source of pages: CSV and Parquet in any order, read once, sorted out of core, given page by page.

`opening` says what a file is, `columns` which of its columns is what, `stamps` which bar a time means, `inspecting` how
all of it is to be read; `rows` makes rows of bars, `staging` sorts them, `client` gives the pages.
"""

from barfill.providers.files.client import FilesClient
from barfill.providers.files.columns import has_adjusted_close, parse_columns
from barfill.providers.files.inspecting import Reading, rule_for
from barfill.providers.files.opening import BarFile, open_file
from barfill.providers.files.rows import RowRule
from barfill.providers.files.staging import Staged, SymbolSpan, stage

__all__ = [
    "BarFile",
    "FilesClient",
    "Reading",
    "RowRule",
    "Staged",
    "SymbolSpan",
    "has_adjusted_close",
    "open_file",
    "parse_columns",
    "rule_for",
    "stage",
]
