"""Faults as they look in the formats of Tradier and Finnhub, which have no pages, and these vendors' own."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from barfill.simulate import SimulatedExchange
from barfill.simulate.faults import catalogue

Spoil = Callable[..., None]
Row = dict[str, Any]
HISTORY = "/v1/markets/history?symbol=AAPL&start=2026-08-10&end=2026-08-14"
ONE_DAY = "/v1/markets/history?symbol=AAPL&start=2026-08-12&end=2026-08-12"
NO_DAY = "/v1/markets/history?symbol=AAPL&start=2026-08-08&end=2026-08-08"
SALES = "/v1/markets/timesales?symbol=AAPL&interval=15min&start=2026-08-14 09:30&end=2026-08-14 16:00"
#: 2026-08-14 to 2026-08-15, and 2026-08-03 to 2026-08-14.
QUARTERS = "/stock/candle?symbol=AAPL&resolution=15&from=1786665600&to=1786752000"
HOURS = "/stock/candle?symbol=AAPL&resolution=60&from=1786665600&to=1786752000"
DAYS = "/stock/candle?symbol=AAPL&resolution=D&from=1785715200&to=1786665600"

#: Form by fault where the default does nothing here: an untold currency, stamps of the vendor's own unit.
FORMS: dict[str, dict[str, Any]] = {"H29": {"form": "feed"}, "D14": {"form": "ms"}, "D17": {"volume": 7}}
#: These need what is not in the answers below: the newest bar, young ones, few rows, more rows than a cap, hours.
OTHERWISE = {"D23", "D24", "D25", "V01", "V06", "H19"}
PAGE_FAULTS = {
    vendor: [id_ for id_, entry in catalogue(vendor).items() if entry.stage == "page" and id_ not in OTHERWISE]
    for vendor in ("tradier", "finnhub")
}


@pytest.fixture
def both(tradier: httpx.Client, finnhub: httpx.Client) -> dict[str, httpx.Client]:
    return {"tradier": tradier, "finnhub": finnhub}


@pytest.mark.parametrize(
    ("vendor", "path", "idle"),
    [
        ("tradier", HISTORY, {"D07", "D13", "D14", "D19"}),  # days have neither a stamp nor a vwap
        ("tradier", SALES, set()),
        ("finnhub", QUARTERS, {"D07", "V07"}),
        ("finnhub", DAYS, {"D07", "D19"}),
    ],
)
def test_rows_are_spoiled(
    both: dict[str, httpx.Client], exchange: SimulatedExchange, spoil: Spoil, vendor: str, path: str, idle: set[str]
) -> None:
    """Each fault of a page changes the answer, but those of what it does not have; after them all is right again."""
    right = both[vendor].get(path).text
    unchanged = set()
    for fault in PAGE_FAULTS[vendor]:
        spoil(fault, **FORMS.get(fault, {}))
        is_changed = both[vendor].get(path).text != right
        assert is_changed is (exchange.script._lines[0].fired == 1), fault
        unchanged |= set() if is_changed else {fault}
    exchange.set_faults([])

    assert unchanged == idle
    assert both[vendor].get(path).text == right


@pytest.mark.parametrize(
    ("form", "history", "series"),
    [("null", None, None), ("text", "null", "null"), ("absent", ..., ...), ("object", dict, dict)],
)
def test_h12_shapes_of_tradier(tradier: httpx.Client, spoil: Spoil, form: str, history: Any, series: Any) -> None:
    """Null, the text null, nothing at all, or the first of many rows as an object."""
    spoil("H12", form=form)

    days, sales = tradier.get(HISTORY).json(), tradier.get(SALES).json()

    if form == "object":
        assert isinstance(days["history"]["day"], history)
        assert isinstance(sales["series"]["data"], series)
    else:
        assert days.get("history", ...) == history
        assert sales.get("series", ...) == series


def test_v01_the_other_shape(tradier: httpx.Client, exchange: SimulatedExchange, spoil: Spoil) -> None:
    """One row is a list of one, none are the text null; of many rows there is nothing to do."""
    right = tradier.get(HISTORY).text
    spoil("V01", {"times": 2})

    assert tradier.get(HISTORY).text == right
    assert [row["date"] for row in tradier.get(ONE_DAY).json()["history"]["day"]] == ["2026-08-12"]
    assert tradier.get(NO_DAY).json() == {"history": "null"}


def test_v02_the_expiry_in_seconds(tradier: httpx.Client, spoil: Spoil) -> None:
    """Of the same instant."""
    right = int(tradier.get(HISTORY).headers["X-Ratelimit-Expiry"])
    spoil("V02")

    assert 0 <= int(tradier.get(HISTORY).headers["X-Ratelimit-Expiry"]) * 1000 - right < 1000


def test_v03_xml_all_the_same(tradier: httpx.Client, spoil: Spoil) -> None:
    """Accept says JSON, the answer is XML; a refusal stays text."""
    spoil("V03")

    answer = tradier.get(HISTORY)

    assert answer.headers["Content-Type"].startswith("application/xml")
    assert len(ElementTree.fromstring(answer.text).findall("day")) == 5
    assert tradier.get("/v1/markets/history").text.startswith("Invalid parameter")


def test_v04_the_body_is_too_big(tradier: httpx.Client, spoil: Spoil) -> None:
    """Of long ranges only: half of one comes."""
    spoil("V04", days=3)

    refused = tradier.get(HISTORY)

    assert (refused.status_code, refused.json()["fault"]["detail"]["errorcode"]) == (500, "protocol.http.TooBigBody")
    assert tradier.get(ONE_DAY).status_code == 200
    assert tradier.get("/v1/markets/clock").status_code == 200


def test_nan_of_tradier(tradier: httpx.Client, spoil: Spoil) -> None:
    """A price is the text NaN."""
    spoil("D01", field="h", row=1)

    assert tradier.get(HISTORY).json()["history"]["day"][1]["high"] == "NaN"
    row = tradier.get(SALES).json()["series"]["data"][1]
    assert (row["high"], row["price"]) == ("NaN", "NaN")


def test_a_symbol_in_a_match_is_the_markets(tradier: httpx.Client, spoil: Spoil) -> None:
    """A line for BRK.B fires on BRK/B."""
    spoil("H11", {"symbol": "BRK.B"})
    path = "/v1/markets/history?symbol={}&start=2026-08-10"

    assert tradier.get(path.format("BRK/B")).json() == {"history": None}
    assert tradier.get(path.format("AAPL")).json() != {"history": None}


def test_h08_in_passing(tradier: httpx.Client, spoil: Spoil) -> None:
    """404 once, then the answer."""
    spoil("H08", {"provider": "tradier", "times": 1})

    assert [tradier.get(HISTORY).status_code for _ in range(2)] == [404, 200]


@pytest.mark.parametrize("header", ["reset_s", "reset_ms"])
def test_h01_tells_in_the_vendors_header(tradier: httpx.Client, spoil: Spoil, header: str) -> None:
    """429 with nothing available and the expiry; the text's last word is in milliseconds."""
    spoil("H01", header=header, seconds=3)

    answer = tradier.get(HISTORY)

    scale = 1 if header == "reset_s" else 1000
    assert (answer.status_code, answer.headers["X-Ratelimit-Available"]) == (429, "0")
    assert abs(int(answer.headers["X-Ratelimit-Expiry"]) / scale - int(answer.text.split()[-1]) / 1000) < 1


@pytest.mark.parametrize("vendor", ["tradier", "finnhub"])
def test_h02_tells_nothing(both: dict[str, httpx.Client], spoil: Spoil, vendor: str) -> None:
    """429 without headers of the limit."""
    spoil("H02")

    answer = both[vendor].get({"tradier": HISTORY, "finnhub": DAYS}[vendor])

    assert answer.status_code == 429
    assert not any("ratelimit" in name.lower() for name in answer.headers)


@pytest.mark.parametrize(
    ("fault", "args", "status", "said"),
    [
        ("H04", {"status": 502}, 502, "<html>"),
        ("H04", {"status": 500, "body": "json"}, 500, '{"error":"Internal server error"}'),
        ("H05", {}, 401, '{"error":"Invalid API key."}'),
        ("H07", {}, 403, '{"error":"You don\'t have access to this resource."}'),
        ("H11", {}, 200, '{"s":"no_data"}'),
        ("H12", {"form": "null"}, 200, '{"c":null,"h":null,'),
        ("H12", {"form": "absent"}, 200, '{"s":"ok"}'),
        ("H26", {}, 302, ""),
    ],
)
def test_answers_of_finnhub(
    finnhub: httpx.Client, spoil: Spoil, fault: str, args: dict[str, Any], status: int, said: str
) -> None:
    """In the vendor's words."""
    spoil(fault, **args)

    answer = finnhub.get(DAYS)

    assert (answer.status_code, answer.text[: len(said)]) == (status, said)


@pytest.mark.parametrize("form", ["lengths", "missing"])
def test_h30_arrays_of_unequal_length(finnhub: httpx.Client, spoil: Spoil, form: str) -> None:
    """One array lacks one value."""
    spoil("H30", form=form, field="v")

    page = finnhub.get(DAYS).json()

    assert {name: len(page[name]) for name in "ohlcvt"} == {"o": 10, "h": 10, "l": 10, "c": 10, "v": 9, "t": 10}


@pytest.mark.parametrize("fault", ["H15", "H16", "H31"])
def test_faults_of_the_wire_write_as_the_vendor_does(both: dict[str, httpx.Client], spoil: Spoil, fault: str) -> None:
    """Half of the rows, a bare word in a row, rows from before the range: in arrays, and under day."""
    spoil(fault, **({"form": "NaN"} if fault == "H16" else {"form": "rows"} if fault == "H31" else {}))

    days, arrays = both["tradier"].get(HISTORY).text, both["finnhub"].get(DAYS).text

    if fault == "H16":
        assert '"close":NaN,' in days
        assert '"c":[NaN,' in arrays
    else:
        counts = {"H15": (2, 5), "H31": (7, 17)}[fault]
        assert (days.count('"date"'), len(arrays.split('"v":[')[1].split(","))) == counts


@pytest.mark.parametrize(("path", "seconds"), [(DAYS, 3 * 86_400), (QUARTERS, 8 * 3600 + 900)])
def test_v05_the_row_before(finnhub: httpx.Client, spoil: Spoil, path: str, seconds: int) -> None:
    """It comes first, and is the true one: of Friday before Monday, of the evening before."""
    right = finnhub.get(path).json()
    spoil("V05")

    page = finnhub.get(path).json()

    assert page["t"][1:] == right["t"]
    assert page["t"][0] < right["t"][0]
    assert right["t"][0] - page["t"][0] == seconds


@pytest.mark.parametrize(
    ("form", "begin"), [("clock", ["13:00", "14:00", "15:00"]), ("half", ["12:30", "13:30", "14:30"])]
)
def test_v06_hours_begin_otherwise(finnhub: httpx.Client, spoil: Spoil, form: str, begin: list[str]) -> None:
    """All on the hour, or all at :30; together they hold the same."""
    right = finnhub.get(HOURS).json()
    spoil("V06", form=form)

    page = finnhub.get(HOURS).json()

    times = [datetime.fromtimestamp(stamp, UTC).strftime("%H:%M") for stamp in page["t"]]
    assert [time for time in times if "12:30" <= time <= "15:00"] == begin
    assert sum(page["v"]) == sum(right["v"])
    assert "V06" not in str(finnhub.get(DAYS).headers)


@pytest.mark.parametrize(
    ("form", "clock"), [("open", "13:30"), ("ny_close", "20:00"), ("utc_5", "05:00"), ("utc_midnight", "00:00")]
)
def test_d15_days_stamped_otherwise(finnhub: httpx.Client, spoil: Spoil, form: str, clock: str) -> None:
    """At the open as before 2021, and elsewhere in the same date."""
    right = finnhub.get(DAYS).json()["t"]
    spoil("D15", form=form)

    stamps = [datetime.fromtimestamp(stamp, UTC) for stamp in finnhub.get(DAYS).json()["t"]]

    assert {stamp.strftime("%H:%M") for stamp in stamps} == {clock}
    assert [stamp.date() for stamp in stamps] == [datetime.fromtimestamp(stamp, UTC).date() for stamp in right]


def test_v07_the_last_day_twice(finnhub: httpx.Client, spoil: Spoil) -> None:
    """The same values at 00:00 UTC and at the open."""
    spoil("V07")

    page = finnhub.get(DAYS).json()

    assert page["t"][-1] - page["t"][-2] == int(13.5 * 3600)
    assert page["c"][-1] == page["c"][-2]


def test_v08_headers_of_the_limit(finnhub: httpx.Client, spoil: Spoil) -> None:
    """They count down."""
    spoil("V08")

    told = [finnhub.get(DAYS).headers for _ in range(2)]

    assert [int(one["X-Ratelimit-Limit"]) for one in told] == [1_000_000] * 2
    assert int(told[0]["X-Ratelimit-Remaining"]) - int(told[1]["X-Ratelimit-Remaining"]) == 1
    assert "X-Ratelimit-Reset" in told[0]


@pytest.mark.parametrize(("form", "kept"), [("first", slice(0, 4)), ("last", slice(-4, None))])
def test_h19_caps_in_silence(both: dict[str, httpx.Client], spoil: Spoil, form: str, kept: slice) -> None:
    """Only the first or the last rows."""
    rows, stamps = both["tradier"].get(HISTORY).json()["history"]["day"], both["finnhub"].get(DAYS).json()["t"]
    spoil("H19", form=form, rows=4)

    assert both["tradier"].get(HISTORY).json()["history"]["day"] == rows[kept]
    assert both["finnhub"].get(DAYS).json()["t"] == stamps[kept]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("doubled", [("SPLT", "2026-03-16", 1, 4)] * 2),
        ("conflict", [("SPLT", "2026-03-16", 1, 4), ("SPLT", "2026-03-16", 1, 8)]),
        ("missing", []),
        ("day_off", [("SPLT", "2026-03-15", 1, 4)]),
        ("inverted", [("SPLT", "2026-03-16", 4, 1)]),
        ("odd_ratio", [("SPLT", "2026-03-16", 1000, 1046)]),
        ("other_ticker", [("ZVZZT", "2026-03-16", 1, 4)]),
    ],
)
def test_d26_splits_of_finnhub(
    finnhub: httpx.Client, spoil: Spoil, form: str, expected: list[tuple[str, str, int, int]]
) -> None:
    """As of Massive."""
    spoil("D26", form=form)

    rows = finnhub.get("/stock/split?symbol=SPLT").json()

    assert [(row["symbol"], row["date"], row["fromFactor"], row["toFactor"]) for row in rows] == expected
    assert len(finnhub.get("/stock/dividend?symbol=AAPL").json()) > 10 or form != "missing"
