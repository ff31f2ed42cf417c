"""The crypto venues on the wire: order, types, bounds, words of refusal, and faults."""

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange, random_script
from barfill.simulate.faults import catalogue

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples/ccxt"
VENUES = ("binance", "coinbaseexchange", "kraken")
#: Ten hours of BTC, on Kraken the newest 721 of them.
TEN_HOURS = "granularity=3600&start=2026-08-15T00:00:00Z&end=2026-08-15T09:00:00Z"
TEN_DAYS = "granularity=86400&start=2026-08-08T00:00:00Z&end=2026-08-17T00:00:00Z"
HOURS = {
    "binance": "/api/v3/klines?symbol=BTCUSD&interval=1h&startTime=1786752000000&endTime=1786784400000",
    "coinbaseexchange": f"/products/BTC-USD/candles?{TEN_HOURS}",
    "kraken": "/0/public/OHLC?pair=XBTUSD&interval=60&since=1786748400",
}
FIRST_S = 1_786_752_000

Get = Callable[[str, str], httpx.Response]


@pytest.fixture
def get(exchange: SimulatedExchange) -> Iterator[Get]:
    """Ask a venue."""
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield lambda venue, path: client.get(f"{exchange.venue_url(venue)}{path}")


def rows_of(venue: str, document: Any) -> Any:
    """The rows of an answer, whatever they are."""
    return document["result"].get("XXBTZUSD") if venue == "kraken" else document


def stamps_of(venue: str, rows: list[list[Any]]) -> list[int]:
    """In seconds, in the order of the rows."""
    return [row[0] // (1000 if venue == "binance" else 1) for row in rows]


def test_orders_and_bounds(get: Get) -> None:
    """Binance and Kraken begin with the oldest, Coinbase with the newest; both bounds are in, but Kraken's since."""
    stamps = {venue: stamps_of(venue, rows_of(venue, get(venue, path).json())) for venue, path in HOURS.items()}

    hours = [FIRST_S + 3600 * number for number in range(10)]
    assert stamps["binance"] == hours
    assert stamps["coinbaseexchange"] == hours[::-1]
    assert stamps["kraken"][:10] == hours


def test_the_newest_come_without_bounds(get: Get) -> None:
    """Without a start the newest rows come: 500 or the limit on Binance (at most 1000), 300 on Coinbase."""
    now_s = int(datetime(2026, 8, 17, 18, tzinfo=UTC).timestamp())
    klines = [get("binance", f"/api/v3/klines?symbol=BTCUSDT&interval=1m{more}").json() for more in ("", "&limit=5000")]
    candles = get("coinbaseexchange", "/products/BTC-USDT/candles?start=2026-08-15T00:00:00Z").json()

    assert [len(rows) for rows in klines] == [500, 1000]
    assert [rows[-1][0] for rows in klines] == [now_s * 1000] * 2
    assert (candles[0][0], len(candles)) > (now_s - 300, 250)
    assert candles[-1][0] > now_s - 300 * 60


def test_kraken_tells_the_last_closed_one(get: Get) -> None:
    """last is the start of the newest interval that is over; its row is the last but one."""
    result = get("kraken", HOURS["kraken"]).json()["result"]

    assert result["last"] == result["XXBTZUSD"][-2][0]
    assert get("kraken", f"/0/public/OHLC?pair=XBT/USD&interval=60&since={result['last']}").json()["result"] == {
        "XXBTZUSD": result["XXBTZUSD"][-1:], "last": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("venue", "path", "status", "body"),
    [
        ("binance", "/api/v3/klines?interval=1m", 400, {
            "code": -1102, "msg": "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."}),
        ("binance", "/api/v3/exchangeInfo?symbol=NOPE", 400, {"code": -1121, "msg": "Invalid symbol."}),
        ("binance", "/api/v3/klines?symbol=BTCUSDT&interval=1s", 400, {"code": -1120, "msg": "Invalid interval."}),
        ("coinbaseexchange", "/products/NO-PE", 404, {"message": "NotFound"}),
        ("coinbaseexchange", "/products/BTC-USD/candles?start=x&end=y", 400, {"message": "Invalid start"}),
        ("coinbaseexchange", "/products/BTC-USD/candles?start=20&end=10", 400, {"message": "start must be before end"}),
        ("coinbaseexchange", "/nowhere", 404, {"message": "Route not found"}),
        ("kraken", "/0/public/OHLC?pair=XBTUSD&since=x", 200, {"error": ["EGeneral:Invalid arguments"]}),
        ("kraken", "/0/public/AssetPairs?pair=NOPE", 200, {"error": ["EQuery:Unknown asset pair"]}),
    ],
)  # fmt: skip
def test_refusals_have_the_venues_words(get: Get, venue: str, path: str, status: int, body: dict[str, Any]) -> None:
    """Status and body of what is refused, on Kraken an error in a reply of 200."""
    answer = get(venue, path)

    assert (answer.status_code, answer.json()) == (status, body)


@pytest.mark.real_data
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here")
@pytest.mark.parametrize(
    ("venue", "path", "name"),
    [
        ("binance", HOURS["binance"], "binance_klines_BTC_1m.json"),
        ("coinbaseexchange", HOURS["coinbaseexchange"], "coinbaseexchange_candles_1h.json"),
        ("kraken", "/0/public/OHLC?pair=XBTUSDT&interval=1", "kraken_OHLC_XBTUSDT_1m_721rows.json"),
        ("binance", "/api/v3/exchangeInfo", "binance_exchangeInfo.json"),
        ("kraken", "/0/public/AssetPairs?pair=XBTUSDT", "kraken_AssetPairs.json"),
    ],
)
def test_answers_have_the_shape_of_recorded_ones(get: Get, venue: str, path: str, name: str) -> None:
    """The same keys, lengths and types, texts with as many decimals, and 721 rows with idle ones on Kraken."""
    recorded, ours = json.loads((SAMPLES / name).read_text()), get(venue, path).json()

    if name.startswith("kraken_OHLC"):
        assert len(ours["result"]["XBTUSDT"]) == len(recorded["result"]["XBTUSDT"]) == 721
        assert ["0.0", "0.00000000", 0] in [row[5:] for row in ours["result"]["XBTUSDT"]]
    assert_shaped(ours, recorded)


def assert_shaped(ours: Any, recorded: Any) -> None:
    """Each value that is recorded has a like in ours; of lists the first elements stand for all."""
    if isinstance(recorded, dict):
        # What can be traded how, and for which fees, is no business of bars.
        for key in recorded.keys() - {"long_position_limit", "short_position_limit", "leverage_buy", "leverage_sell"}:
            assert_shaped(ours[key], recorded[key])
    elif isinstance(recorded, list) and recorded and not isinstance(recorded[0], (list, dict)) and len(recorded) > 5:
        assert len(ours) == len(recorded)
        for one, other in zip(ours, recorded, strict=True):
            assert_shaped(one, other)
    elif isinstance(recorded, list) and recorded and ours:
        assert_shaped(ours[0], recorded[0])
    elif isinstance(recorded, str) and recorded[:1].isdigit() and "." in recorded:
        assert len(ours.partition(".")[2]) == len(recorded.partition(".")[2])
    else:
        assert isinstance(ours, (int, float) if isinstance(recorded, (int, float)) else type(recorded))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    ("fault", "args", "wanted"),
    [
        ("H11", {}, lambda spoiled, rows: spoiled == []),
        ("H12", {"form": "null"}, lambda spoiled, rows: spoiled is None),
        ("H19", {"rows": 3}, lambda spoiled, rows: spoiled == rows[:3]),
        ("H32", {}, lambda spoiled, rows: spoiled == rows[::-1]),
        ("H30", {"field": "c"}, lambda spoiled, rows: len(spoiled[0]) == len(rows[0]) - 1 and spoiled[1:] == rows[1:]),
        ("D01", {"value": None}, lambda spoiled, rows: spoiled[0].count(None) == 1),
        ("D11", {"form": "different", "by": 1.0}, lambda spoiled, rows: spoiled[0] == rows[0] != spoiled[1]),
        ("D12", {}, lambda spoiled, rows: spoiled[::2] == spoiled[1::2] == rows),
        ("D13", {"offset_s": 60}, lambda spoiled, rows: spoiled[0][0] - rows[0][0] in {60, 60_000}),
        ("D20", {}, lambda spoiled, rows: spoiled == rows[1:]),
        (
            "D33",
            {},
            lambda spoiled, rows: spoiled[::2] == rows and spoiled[1][0] == rows[0][0] != spoiled[1],
        ),
    ],
)
def test_page_faults_spoil_candles(
    exchange: SimulatedExchange, get: Get, venue: str, fault: str, args: dict[str, Any], wanted: Callable[..., bool]
) -> None:
    """What a fault does to rows arrives in the venue's own form, and nothing else changes."""
    rows = rows_of(venue, get(venue, HOURS[venue]).json())
    exchange.set_faults([{"match": {"provider": venue, "symbol": "BTC/USD"}, "fault": fault, "args": args}])

    spoiled = rows_of(venue, get(venue, HOURS[venue]).json())

    assert wanted(spoiled, rows)


@pytest.mark.parametrize(
    ("venue", "path"),
    [
        ("binance", "/api/v3/klines?symbol=BTCUSD&interval=1d&limit=9"),
        (
            "coinbaseexchange",
            f"/products/BTC-USD/candles?{TEN_DAYS}",
        ),
        ("kraken", "/0/public/OHLC?pair=XBTUSD&interval=1440&since=1786060800"),
    ],
)
def test_days_can_begin_at_another_hour(exchange: SimulatedExchange, get: Get, venue: str, path: str) -> None:
    """D33 with an anchor gives days from 06:00 UTC, made of other trades; hours stay as they are."""
    exchange.set_faults([{"fault": "D33", "match": {"provider": venue}, "args": {"form": "anchor"}}])

    rows = rows_of(venue, get(venue, path).json())

    stamps = stamps_of(venue, rows)
    assert len(rows) >= 9
    assert {stamp % 86_400 for stamp in stamps} == {6 * 3600}
    day = datetime.fromtimestamp(stamps[1], UTC)
    hours = exchange.crypto_truth(venue, "BTC/USD", "1Hour", day, day.replace(day=day.day + 1, hour=5))
    # High is the third number of a row, but on Coinbase also.
    assert float(rows[1][2]) == hours["high"].max()
    assert stamps_of(venue, rows_of(venue, get(venue, HOURS[venue]).json()))[0] % 86_400 in {0, 9 * 3600}


@pytest.mark.parametrize("venue", VENUES)
def test_a_body_can_end_early_and_be_valid(exchange: SimulatedExchange, get: Get, venue: str) -> None:
    """H15: the first half of the rows in the venue's own form, without a Content-Length."""
    rows = rows_of(venue, get(venue, HOURS[venue]).json())
    exchange.set_faults([{"match": {"provider": venue}, "fault": "H15"}])

    cut = get(venue, HOURS[venue])

    assert "Content-Length" not in cut.headers
    assert rows_of(venue, cut.json()) == rows[: len(rows) // 2]


@pytest.mark.parametrize(
    ("venue", "fault", "args"),
    [
        *((venue, "H01", {"header": "reset_s"}) for venue in VENUES),
        *((venue, "D01", {"field": "vw"}) for venue in ("binance", "coinbaseexchange")),
        *((venue, "H16", {"form": "duplicate"}) for venue in ("binance", "coinbaseexchange")),
    ],
)
def test_what_a_venue_does_not_send_cannot_be_spoiled(
    exchange: SimulatedExchange, get: Get, venue: str, fault: str, args: dict[str, Any]
) -> None:
    """A header that it has not, a field that is in no row, a key in an array: the fault waits, the answer is good."""
    good = get(venue, HOURS[venue]).json()
    exchange.set_faults([{"match": {"provider": venue}, "fault": fault, "args": args}])

    answer = get(venue, HOURS[venue])

    assert (answer.status_code, answer.json()) == (200, good)


@pytest.mark.parametrize("venue", VENUES)
def test_everything_at_once_never_breaks_a_venue(exchange: SimulatedExchange, get: Get, venue: str) -> None:
    """Under a random script of all faults every request reaches its end in the log, and afterwards all is well."""
    good = get(venue, HOURS[venue]).json()
    exchange.forget_requests()
    lines = random_script(seed=3, count=150, rate=0.05, seconds_max=0.02, vendor=venue)
    exchange.set_faults([line for line in lines if line["args"].get("form") not in {"gzip_bomb", "endless"}])

    for _ in range(60):
        with contextlib.suppress(httpx.TransportError):
            get(venue, HOURS[venue])

    assert len(exchange.requests) == 60
    assert len({request.fault for request in exchange.requests}) > 12
    exchange.set_faults([])
    assert get(venue, HOURS[venue]).json() == good


def test_requests_are_counted_by_venue(exchange: SimulatedExchange, get: Get) -> None:
    """GET /simulate/requests tells each venue's endpoints and limits apart."""
    for venue in VENUES:
        get(venue, HOURS[venue])

    told = httpx.get(f"{exchange.url}/simulate/requests").json()["by_vendor"]

    assert {venue: told[venue]["by_endpoint"] for venue in VENUES} == {
        "binance": {"klines": {"200": 1}}, "coinbaseexchange": {"candles": {"200": 1}}, "kraken": {"ohlc": {"200": 1}},
    }  # fmt: skip
    assert told["binance"]["max_in_any_60s"] >= 2


def test_what_makes_no_sense_is_not_offered() -> None:
    """Faults of tokens, sessions and adjustment are none of the venues'; D33 is theirs alone."""
    for venue in VENUES:
        assert not {"H20", "H21", "H24", "H25", "H29", "D08", "D15", "D17", "D26", "D27"} & set(catalogue(venue))
        assert "D33" in catalogue(venue)
    assert "D33" not in catalogue("alpaca")
