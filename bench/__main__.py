"""
`python -m bench`: the speed of the main job beside what PostgreSQL takes; the rate used; looks that find nothing;
what is missing of many series; coarser bars.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import replace

import psycopg

from bench import detection, idle, quota, resampling, slow_provider
from bench.machinery import private_server, simulated_exchange
from bench.report import rendered
from bench.rounds import measure
from bench.work import ALPACA_PY, ALPACA_PY_SMOKE, FULL, SMOKE


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small run that only shows that everything works")
    parser.add_argument("--rounds", type=int, help="how many rounds the medians are of")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--quota", action="store_true", help="only how much of the allowed rate is used: ten minutes")
    options = parser.parse_args()
    shift = quota.SMOKE if options.smoke else quota.FULL
    if options.quota:
        with private_server() as server_url:
            print(quota.rendered_use(quota.measure_use(server_url, shift)))
        return
    work, small = (SMOKE, ALPACA_PY_SMOKE) if options.smoke else (FULL, ALPACA_PY)
    work = replace(work, rounds=options.rounds or work.rounds)
    load = os.getloadavg()[0]
    with simulated_exchange() as exchange_url, private_server() as server_url:
        with psycopg.connect(server_url) as conn:
            server = conn.info.server_version // 10_000
        results = measure(exchange_url, server_url, work, small, _tell)
        _tell(f"using the rate for {shift.seconds:.0f} s")
        use = quota.measure_use(server_url, shift)
        _tell("looking where nothing is to be done")
        looks = idle.measure_idle(server_url, idle.SYMBOLS_SMOKE if options.smoke else idle.SYMBOLS)
        _tell("finding what is missing")
        found = detection.measure_detection(server_url, detection.SYMBOLS_SMOKE if options.smoke else detection.SYMBOLS)
        _tell("working beside a provider that does not answer")
        load_beside = slow_provider.SMOKE if options.smoke else slow_provider.FULL
        beside = slow_provider.measure_slow_provider(server_url, load_beside)
        _tell("making coarser bars")
        made = resampling.measure_resampling(server_url, resampling.DAYS_SMOKE if options.smoke else resampling.DAYS)
    print(
        f"{len(work.tickers)} symbols, minute bars, pages of 10,000 rows as gzip, loopback; median of {work.rounds}.\n"
        f"CPython {platform.python_version()}, embedded PostgreSQL {server}, fsync on; "
        f"{os.cpu_count()} cores, load before {load:.1f}.\n"
    )
    print(rendered(results, is_markdown=options.markdown))
    print("\n" + quota.rendered_use(use))
    print("\n" + idle.rendered_idle(looks))
    print("\n" + detection.rendered_detection(found))
    print("\n" + resampling.rendered_resampling(made))
    print("\n" + slow_provider.rendered_throughput(beside))


def _tell(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
