"""The settings: what there is to set, and its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from barfill.core.timeframe import Timeframe
from barfill.settings.kinds import (
    DATABASE,
    DIRECTORY,
    FILE,
    HOSTS,
    HTTP_URL,
    KEY,
    NAME,
    NAMES,
    ORIGINS,
    SWITCH,
    TIMEFRAMES,
    SettingInfo,
    Source,
    choice,
    is_loopback,
    setting,
    whole,
)

FILE_NAME = "barfill.toml"
PAGE_SIZE_MAX = 10_000
BASE_BARS_MAX = 50_000
CONCURRENT_JOBS_MAX = 64
REQUESTS_PER_MINUTE_MAX = 100_000
WORKER_PATIENCE_MIN, WORKER_PATIENCE_MAX = 4, 60
DAYS_MAX = 36_500
RESTATEMENT_SESSIONS_MAX = 20
DAILY_BUDGET_MAX = 100_000_000
DEFAULT_ORDER = ("alpaca", "massive", "tradier", "finnhub", "coinbaseexchange")


def default_home() -> Path:
    """The platform's directory for a user's data."""
    import platformdirs  # noqa: PLC0415  only needed where BARFILL_HOME is not set

    return Path(platformdirs.user_data_dir("barfill", appauthor=False))


def _place(provider: str, own: str) -> Any:
    """Where a provider is reached."""
    return setting(
        f"{provider}_BASE_URL",
        HTTP_URL,
        f"Where {provider.capitalize()} is reached, such as a simulated exchange.",
        None,
        shown_default=own,
        example=f"http://127.0.0.1:8900/{provider.lower()}",
    )


def _rate(provider: str, plans: str) -> Any:
    """How many requests a minute a provider allows."""
    return setting(
        f"{provider}_REQUESTS_PER_MINUTE",
        whole(1, REQUESTS_PER_MINUTE_MAX),
        "How many requests the plan allows.",
        None,
        shown_default=f"what the plan allows ({plans})",
        example="200",
        unit="requests per minute",
    )


def _budget(provider: str) -> Any:
    """How many requests a day are sent to a provider."""
    return setting(
        f"{provider}_DAILY_BUDGET",
        whole(1, DAILY_BUDGET_MAX),
        "No more requests than this in a day (UTC), by all processes together.",
        None,
        shown_default="no bound",
        example="10000",
        unit="requests per day",
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings. `repr` shows where each came from and no value; `shown` gives a value that may be printed."""

    database_url: str | None = setting(
        "DATABASE_URL",
        DATABASE,
        "The PostgreSQL database (14 to 18). Not set: barfill runs a private one in BARFILL_HOME.",
        None,
        example="postgresql://user:password@host:5432/database",
        is_secret=True,
    )
    database_pooler: bool = setting(
        "DATABASE_POOLER",
        SWITCH,
        "Whether a transaction pooler stands before DATABASE_URL: then workers poll and take no locks.",
        False,
    )
    barfill_home: Path = setting(  # noqa: RUF009  it makes a field(), which the rule cannot see
        "BARFILL_HOME",
        DIRECTORY,
        f"Directory of the private database and of {FILE_NAME}.",
        default_home,
        shown_default="the platform's user data directory (Linux: ~/.local/share/barfill)",
        is_in_file=False,
    )
    alpaca_api_key: str | None = setting(
        "ALPACA_API_KEY", KEY, "Key id of your Alpaca account.", None, example="PK...", is_secret=True
    )
    alpaca_api_secret: str | None = setting(
        "ALPACA_API_SECRET", KEY, "Secret that belongs to the key.", None, example="...", is_secret=True
    )
    alpaca_base_url: str | None = _place("ALPACA", "Alpaca's own hosts")
    alpaca_plan: str = setting(
        "ALPACA_PLAN",
        choice("free", "paid"),
        "Your data plan: free (Basic) or paid (Algo Trader Plus).",
        "free",
    )
    alpaca_feed: str | None = setting(
        "ALPACA_FEED",
        choice("sip", "iex"),
        "The tape that bars come from: sip (all exchanges) or iex (one exchange, 2-3 % of the volume).",
        None,
        shown_default="sip",
    )
    alpaca_requests_per_minute: int | None = _rate("ALPACA", "free 200, paid 10,000")
    alpaca_page_size: int = setting(
        "ALPACA_PAGE_SIZE",
        whole(1, PAGE_SIZE_MAX),
        "How many bars one request asks for at most.",
        PAGE_SIZE_MAX,
        unit="bars",
    )
    alpaca_daily_budget: int | None = _budget("ALPACA")
    massive_api_key: str | None = setting(
        "MASSIVE_API_KEY",
        KEY,
        "Key of your Massive (formerly Polygon.io) account; POLYGON_API_KEY is taken too.",
        None,
        example="...",
        is_secret=True,
        alias="POLYGON_API_KEY",
    )
    massive_base_url: str | None = _place("MASSIVE", "Massive's own host")
    massive_plan: str = setting(
        "MASSIVE_PLAN",
        choice("free", "starter", "developer", "advanced", "paid"),
        "Your plan; paid stands for any but the free one of which no more is known.",
        "free",
    )
    massive_requests_per_minute: int | None = _rate("MASSIVE", "free 5, paid 3,000")
    massive_page_size: int = setting(
        "MASSIVE_PAGE_SIZE",
        whole(1, BASE_BARS_MAX),
        "How many base bars (minutes, days) one request asks for at most.",
        BASE_BARS_MAX,
        unit="bars",
    )
    massive_daily_budget: int | None = _budget("MASSIVE")
    tradier_api_token: str | None = setting(
        "TRADIER_API_TOKEN", KEY, "Access token of your Tradier account.", None, example="...", is_secret=True
    )
    tradier_base_url: str | None = _place("TRADIER", "Tradier's own hosts")
    tradier_plan: str = setting(
        "TRADIER_PLAN",
        choice("free", "paid"),
        "free is the sandbox, whose bars come 15 minutes late; paid is a brokerage account.",
        "free",
    )
    tradier_requests_per_minute: int | None = _rate("TRADIER", "free 60, paid 120")
    tradier_daily_budget: int | None = _budget("TRADIER")
    finnhub_api_key: str | None = setting(
        "FINNHUB_API_KEY", KEY, "Key of your Finnhub account.", None, example="...", is_secret=True
    )
    finnhub_base_url: str | None = _place("FINNHUB", "Finnhub's own host")
    finnhub_plan: str = setting(
        "FINNHUB_PLAN", choice("free", "paid"), "Your plan; the free one has no bars, but corporate actions.", "free"
    )
    finnhub_requests_per_minute: int | None = _rate("FINNHUB", "60")
    finnhub_daily_budget: int | None = _budget("FINNHUB")
    binance_base_url: str | None = _place("BINANCE", "the venue's own host")
    coinbase_base_url: str | None = _place("COINBASE", "the venue's own host")
    coinbaseexchange_base_url: str | None = _place("COINBASEEXCHANGE", "the venue's own host")
    kraken_base_url: str | None = _place("KRAKEN", "the venue's own host")
    provider_order: tuple[str, ...] = setting(
        "PROVIDER_ORDER",
        NAMES,
        "Who is asked: the first that has a key and has what is wanted. One that is not named is asked only for what "
        "it has filled. Crypto venues go by their ccxt id and need no key; yahoo needs none either, and the extra of "
        "its name.",
        DEFAULT_ORDER,
        shown_default=",".join(DEFAULT_ORDER),
    )
    live_provider: str | None = setting(
        "LIVE_PROVIDER",
        NAME,
        "Who brings the bars of the current session that the others do not have yet; final ones replace them.",
        None,
        shown_default="nobody",
        example="tradier",
    )
    fallback_providers: tuple[str, ...] = setting(
        "FALLBACK_PROVIDERS",
        NAMES,
        "Who takes over when a provider is down, out of quota or not entitled. Never one of another feed.",
        (),
        shown_default="nobody",
        example="massive",
    )
    resample_from_m1: bool = setting(
        "RESAMPLE_FROM_M1",
        SWITCH,
        "Derive 5m, 15m and 30m bars, and hours, from 1m bars where those are kept. Off: they are fetched where the "
        "provider has them, and hours are made of those.",
        True,
    )
    resample_h1_from_m15: bool = setting(
        "RESAMPLE_H1_FROM_M15",
        SWITCH,
        "Derive 1h bars from finer ones. Off: they are fetched where the provider has hours that begin at the open "
        "(Alpaca, Massive, Tradier and Finnhub have none: derived all the same).",
        True,
    )
    resample_h4_from_m15: bool = setting("RESAMPLE_H4_FROM_M15", SWITCH, "The same for 4h bars.", True)
    resample_w1_from_d1: bool = setting(
        "RESAMPLE_W1_FROM_D1",
        SWITCH,
        "Derive 1w bars from 1d bars. Off: they are fetched where the provider has weeks that begin on Mondays.",
        True,
    )
    extended_hours: bool = setting(
        "EXTENDED_HOURS",
        SWITCH,
        "Keep intraday bars of stocks outside of regular hours too, flagged is_extended, where a provider sends them.",
        False,
    )
    restatement_sessions: int = setting(
        "RESTATEMENT_SESSIONS",
        whole(0, RESTATEMENT_SESSIONS_MAX),
        "So many of the last sessions are read again after each close, as providers correct them; 0: nothing ever is.",
        3,
        unit="sessions",
    )
    max_concurrent_jobs: int = setting(
        "MAX_CONCURRENT_JOBS",
        whole(1, CONCURRENT_JOBS_MAX),
        "How many slices are fetched from each provider at the same time.",
        5,
        unit="slices",
    )
    worker_patience_seconds: int = setting(
        "WORKER_PATIENCE_SECONDS",
        whole(WORKER_PATIENCE_MIN, WORKER_PATIENCE_MAX),
        "A worker that gives no sign of life for so long is dead, and others take its runs over.",
        WORKER_PATIENCE_MAX,
        unit="seconds",
    )
    default_timeframes: tuple[Timeframe, ...] = setting(
        "DEFAULT_TIMEFRAMES",
        TIMEFRAMES,
        "What is kept complete of a symbol that is put on a watchlist.",
        tuple(Timeframe),
        shown_default="1m,5m,15m,30m,1h,4h,1d,1w",
    )
    default_window_days: int = setting(
        "DEFAULT_WINDOW_DAYS",
        whole(1, DAYS_MAX),
        "How far back it is kept complete.",
        730,
        unit="days",
    )
    calendar_file: Path | None = setting(  # noqa: RUF009  as above
        "CALENDAR_FILE",
        FILE,
        "Days of exchanges that you know better than barfill's calendars: closures and hours, docs/calendars.md.",
        None,
        shown_default="none",
        example="/etc/barfill/days.toml",
    )
    job_runs_retention_days: int = setting(
        "JOB_RUNS_RETENTION_DAYS",
        whole(1, DAYS_MAX),
        "How long finished runs are remembered; workers clear them away every hour, or 'barfill jobs prune'.",
        90,
        unit="days",
    )
    barfill_api_key: str | None = setting(
        "BARFILL_API_KEY",
        KEY,
        "Key of barfill's own HTTP API: whoever changes anything by it must know it.",
        None,
        shown_default="one made for this installation",
        example="...",
        is_secret=True,
    )
    api_hosts: tuple[str, ...] = setting(
        "API_HOSTS",
        HOSTS,
        "Names under which the HTTP API may be asked, besides this machine's own.",
        (),
        shown_default="none",
        example="barfill.example.com",
    )
    api_origins: tuple[str, ...] = setting(
        "API_ORIGINS",
        ORIGINS,
        "Origins of web pages that may read what the HTTP API answers.",
        (),
        shown_default="none",
        example="https://charts.example.com",
    )
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        given = ", ".join(f"{info.name} from {self.source(info).value}" for info in SETTINGS)
        return f"Settings({given})"

    def source(self, info: SettingInfo) -> Source:
        """Where the value of *info* came from."""
        return self.sources.get(info.name, Source.DEFAULT)

    def shown(self, info: SettingInfo) -> str:
        """The value as it may be printed: of a secret only that it is set, the home directory as `~`."""
        value = getattr(self, info.name.lower())
        if value is None:
            return info.shown_default
        if info.name == "DATABASE_URL":
            return _shown_database(str(value))
        if info.is_secret:
            return "set"
        if isinstance(value, Path):
            return shown_path(value)
        if isinstance(value, tuple):
            labels = (one.label if isinstance(one, Timeframe) else str(one) for one in value)
            return ",".join(labels) or info.shown_default
        return str(value).lower() if isinstance(value, bool) else str(value)

    @property
    def file(self) -> Path:
        """Where the settings file is, or would be."""
        return self.barfill_home / FILE_NAME

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be printed, the database's password among them."""
        values = [getattr(self, info.name.lower()) for info in SETTINGS if info.is_secret]
        found = [str(value) for value in values if value is not None]
        if self.database_url is not None:
            found.append(urlsplit(self.database_url).password or "")
        return tuple(sorted(filter(None, found), key=len, reverse=True))

    @property
    def would_mix_in_invented_bars(self) -> str:
        """
        The setting by which a server on this machine, which may be a simulated exchange, would fill the default
        database; "" where none would.
        """
        if self.database_url is not None or self.barfill_home != default_home():
            return ""
        for info in SETTINGS:
            url = getattr(self, info.name.lower())
            if info.kind is HTTP_URL and url is not None and is_loopback(urlsplit(url)):
                return info.name
        return ""


SETTINGS: tuple[SettingInfo, ...] = tuple(
    cast(SettingInfo, one.metadata["info"]) for one in fields(Settings) if "info" in one.metadata
)


def shown_path(path: Path) -> str:
    """The path with the home directory as `~`, so that what is printed can be passed on."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def _shown_database(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or "local socket"
    port = f":{parts.port}" if parts.port else ""
    return f"set (host {host}{port}, database {parts.path.lstrip('/') or 'of the user'})"
