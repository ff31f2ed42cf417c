"""`python -m bench.classification`: what absent bars are called, beside why they are absent."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import replace

from barfill.simulate import ExchangeConfig, running_exchange
from bench.classification.market import FULL, SMOKE, Size, parts_of, troubles_of
from bench.classification.matrix import Matrix, examples, matrix_of, rendered
from bench.classification.rounds import ask_until_settled
from bench.machinery import fresh_database, private_server

RIGHT_SHARE_MIN = 0.999
_NO_LIMIT = 1_000_000


def main() -> int:
    """Measures and prints; 0 if enough is right, and nothing is lost or invented."""
    parser = argparse.ArgumentParser(prog="python -m bench.classification", description=__doc__)
    parser.add_argument("--symbols", type=int, help=f"how many symbols [{FULL.symbols:,}]")
    parser.add_argument("--seed", type=int, default=1, help="of the market, what befalls it, and the faults [1]")
    parser.add_argument("--smoke", action="store_true", help="a small run that only shows that everything works")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    parser.add_argument("--examples", action="store_true", help="some bars of each cell that is not right")
    parser.add_argument("--bound", type=float, default=RIGHT_SHARE_MIN, help=f"share to reach [{RIGHT_SHARE_MIN}]")
    options = parser.parse_args()
    size = SMOKE if options.smoke else FULL
    size = replace(size, symbols=options.symbols or size.symbols)
    begun = time.monotonic()
    matrix, rounds = measured(size, options.seed)
    print(
        f"{size.symbols:,} symbols, seed {options.seed}: 1d of {size.days} days, 15m of {size.weeks} weeks, "
        f"1m of {size.minute_weeks} weeks of {size.minute_symbols} symbols; {sum(matrix.expected.values()):,} bars "
        f"expected; {rounds} rounds, {time.monotonic() - begun:.0f} s.\n"
        f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores.\n"
    )
    print(rendered(matrix, is_markdown=options.markdown))
    if options.examples:
        print(f"\n{examples(matrix)}")
    is_reached = matrix.right_share >= options.bound and not matrix.lost and not matrix.invented
    print(
        f"\n{100 * matrix.right_share:.3f} % called right (to reach: {100 * options.bound:.3f} %); "
        f"{matrix.lost:,} lost, {matrix.invented:,} invented (to reach: 0). {'R' if is_reached else 'Not r'}eached."
    )
    return 0 if is_reached else 1


def measured(size: Size, seed: int) -> tuple[Matrix, int]:
    """The matrix of one market, on a database of its own, and how many rounds it took."""
    config = ExchangeConfig(
        port=0, seed=seed, symbols=size.symbols, is_eventful=True, plan="paid", requests_per_minute=_NO_LIMIT
    )
    with running_exchange(config) as exchange, private_server() as server_url, fresh_database(server_url) as database:
        parts = parts_of(size, exchange.listings)
        troubles = troubles_of(parts, exchange.listings, seed)
        rounds = ask_until_settled(exchange, database, parts, troubles, _tell)
        _tell("comparing with the truth")
        return matrix_of(exchange, database, parts, troubles), rounds


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
