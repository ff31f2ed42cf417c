"""
The demo: fills a database below .demo, from a simulated exchange or, with your keys set, from Alpaca.

Each step is a command that can be typed; the script only prints and runs them, and stops the exchange at the end.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parent.parent
BARFILL = Path(sys.executable).with_name("barfill")

# THIN hardly trades, NEWC was listed in the middle of the window, SPLT had a split, GONE was delisted.
SIMULATED_SYMBOLS = "AAPL MSFT SPY THIN NEWC SPLT"
REAL_SYMBOLS = "AAPL MSFT SPY QQQ BRK.B IWM"
INTRADAY_DAYS = 75
QUERY = "select * from market_data where symbol = 'AAPL' and timeframe = '1h' order by time desc limit 5"
EXIT_COMPLETE, EXIT_GAPS_REMAIN, EXIT_INTERRUPTED = 0, 3, 130


def main() -> int:
    """Runs the demo; 0 although some gaps may still fill, which is no failure."""
    has_keys = bool(os.environ.get("ALPACA_API_KEY") and os.environ.get("ALPACA_API_SECRET"))
    home = ROOT / ".demo" / ("alpaca" if has_keys else "simulated")
    began = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"BARFILL_HOME": str(home)}
    home.mkdir(parents=True, exist_ok=True)
    if has_keys:
        print("Your Alpaca keys are set: this demo fetches real bars, within the limits of your plan.\n")
        code = fill(REAL_SYMBOLS, environment)
    else:
        with exchange(environment) as told:
            code = fill(SIMULATED_SYMBOLS, environment | told)
    if code == EXIT_COMPLETE:
        show_next_steps(home, time.monotonic() - began)
    return code


def fill(symbols: str, environment: dict[str, str]) -> int:
    """The commands of the demo; the exit code of the first that fails, else 0."""
    steps = (
        f"symbols add {symbols}",
        f"backfill {symbols} --timeframes 1d,1w --days 730",
        f"backfill {symbols} --days {INTRADAY_DAYS}",
        "status",
        f"sql {shlex.quote(QUERY)}",
    )
    for step in steps:
        print("$ barfill", step.replace(shlex.quote(QUERY), f'"{QUERY}"'), flush=True)
        done = subprocess.run([BARFILL, *shlex.split(step)], env=environment, check=False)
        if done.returncode not in (EXIT_COMPLETE, EXIT_GAPS_REMAIN):
            return done.returncode
        print(flush=True)
    return EXIT_COMPLETE


@contextmanager
def exchange(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """A simulated exchange on a free port while the block runs; gives what it prints to export."""
    command = [str(BARFILL), "simulate", "--port", "0"]
    print("No Alpaca keys are set: this demo fetches invented bars from a simulated exchange on this machine.\n")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told: dict[str, str] = {}
            for line in process.stdout:
                name, _, value = line.removeprefix("export ").strip().partition("=")
                if line.startswith("export ALPACA_"):
                    told[name] = value
                if name == "ALPACA_API_SECRET":
                    break
            else:
                sys.exit("The simulated exchange did not start; what it said stands above.")
            Thread(target=process.stdout.read, daemon=True).start()  # an unread pipe would stop it one day
            yield told
        finally:
            process.terminate()


def show_next_steps(home: Path, seconds: float) -> None:
    """How to look at what is there now."""
    print(NEXT_STEPS.format(seconds=seconds, home=shlex.quote(str(home)), bin=BARFILL.parent))


NEXT_STEPS = """\
That took {seconds:.0f} s. To look around, point barfill at the demo's database:

  export BARFILL_HOME={home}
  export PATH="{bin}:$PATH"

  barfill status
  barfill gaps
  barfill sql "select symbol, timeframe, count(*) from market_data group by 1, 2 order by 1, 2"
  barfill --help

For bars of your own: unset BARFILL_HOME, set ALPACA_API_KEY and ALPACA_API_SECRET, then: barfill backfill AAPL
To forget the demo: rm -r {home}"""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
