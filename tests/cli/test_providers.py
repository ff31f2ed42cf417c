"""Which providers the settings give, and in which order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from barfill.errors import SettingsError
from barfill.settings import Settings, read_settings
from barfill.wiring import check_provider, configured
from tests.cli.conftest import clean_environment

ALPACA = {"ALPACA_API_KEY": "PKCANARY", "ALPACA_API_SECRET": "SECRETCANARY"}
MASSIVE = {"MASSIVE_API_KEY": "MASSIVECANARY"}
TRADIER = {"TRADIER_API_TOKEN": "TRADIERCANARY"}
FINNHUB = {"FINNHUB_API_KEY": "FINNHUBCANARY"}


def settings(home: Path, **given: str) -> Settings:
    """What is set, and nothing else."""
    return read_settings({"BARFILL_HOME": str(home), **given})


def names(found: Settings, only: str | None = None, **options: object) -> list[str]:
    """Those that are asked, in their order."""
    return [one.provider.name for one in configured(found, only, **options)]  # type: ignore[arg-type]


def test_those_with_keys_are_asked_in_the_usual_order(tmp_path: Path) -> None:
    """And one crypto venue, which needs none."""
    every = settings(tmp_path, **FINNHUB, **TRADIER, **MASSIVE, **ALPACA)

    assert names(every) == ["alpaca", "massive", "tradier", "finnhub", "coinbaseexchange"]
    assert names(settings(tmp_path, **TRADIER)) == ["tradier", "coinbaseexchange"]


def test_a_key_under_the_former_name_is_taken(tmp_path: Path) -> None:
    """POLYGON_API_KEY; the new name comes first."""
    found = settings(tmp_path, POLYGON_API_KEY="old", **MASSIVE)

    assert names(settings(tmp_path, POLYGON_API_KEY="old")) == ["massive", "coinbaseexchange"]
    assert found.massive_api_key == "MASSIVECANARY"


def test_the_order_is_the_users(tmp_path: Path) -> None:
    """Who is not named is not asked; any venue of ccxt may be named."""
    found = settings(tmp_path, **ALPACA, **MASSIVE, PROVIDER_ORDER="massive,kraken")

    assert names(found) == ["massive", "kraken"]
    assert names(found, "alpaca") == ["alpaca"]


def test_crypto_venues_are_left_out_where_no_pair_is_asked_for(tmp_path: Path) -> None:
    """Their library is slow to load."""
    found = settings(tmp_path, **ALPACA)

    assert names(found, tickers=["AAPL"]) == ["alpaca"]
    assert names(found, tickers=["AAPL", "BTC/USD"]) == ["alpaca", "coinbaseexchange"]


def test_the_library_of_the_venues_is_not_loaded_for_stocks() -> None:
    """It takes a second, longer than all else that a small backfill does."""
    code = (
        "import sys\n"
        "from barfill.settings import read_settings\n"
        "from barfill.wiring import check_provider\n"
        "check_provider(read_settings(), tickers=['AAPL'])\n"
        "print('ccxt' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment() | ALPACA, capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"PROVIDER_ORDER": "alpaca,nosuch"}, "no crypto venue 'nosuch'"),
        ({"LIVE_PROVIDER": "tradier"}, "LIVE_PROVIDER names tradier, which has no key: set TRADIER_API_TOKEN"),
        ({"FALLBACK_PROVIDERS": "massive"}, "FALLBACK_PROVIDERS names massive, which has no key: set MASSIVE_API_KEY"),
        ({"LIVE_PROVIDER": "tradier,alpaca"}, "LIVE_PROVIDER"),
        ({"PROVIDER_ORDER": "al paca"}, "PROVIDER_ORDER"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, given: dict[str, str], told: str) -> None:
    """With the setting, and what to do."""
    with pytest.raises(SettingsError, match=told):
        configured(settings(tmp_path, **ALPACA, **given))


@pytest.mark.parametrize(
    ("only", "tickers", "told"),
    [
        (None, ["AAPL"], "No provider has a key"),
        ("massive", ["AAPL"], "massive has no key: set MASSIVE_API_KEY"),
        ("kraken", ["AAPL"], "kraken has no symbols such as AAPL"),
    ],
)
def test_without_a_key_it_is_said_at_once(tmp_path: Path, only: str | None, tickers: list[str], told: str) -> None:
    """Crypto needs none."""
    found = settings(tmp_path)

    with pytest.raises(SettingsError, match=told):
        check_provider(found, only, tickers)
    check_provider(found, None, ["BTC/USD"])


def test_no_key_is_in_what_a_provider_shows_of_itself(tmp_path: Path) -> None:
    """Neither in its text nor in its requests' texts."""
    found = settings(tmp_path, **FINNHUB, **TRADIER, **MASSIVE, **ALPACA)

    shown = " ".join(repr(one.provider) for one in configured(found, tickers=["AAPL"]))

    assert "CANARY" not in shown
