"""Pages, whoever sends them: what is read, what is set aside row by row, and what is refused as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.ranges import from_us, to_us
from barfill.errors import BadResponse
from barfill.providers.base import HttpResponse
from tests.providers.conftest import bars_query
from tests.providers.dialects import EACH, NOW, PAGED, ROW_BY_ROW, Dialect, at, each

GIVES_COUNTS = each(lambda dialect: "n" in dialect.keys)
GIVES_VWAP = each(lambda dialect: "vw" in dialect.keys)


@EACH
def test_a_page_becomes_columns(dialect: Dialect) -> None:
    """Rows keep their order and values all digits; token, feed and basis are there."""
    rows = [dialect.row(o=9.0000000001), dialect.row("2024-03-05T15:01", v=9099.618093)]

    page = dialect.parse(dialect.with_token(*rows))

    assert page.symbols == ("AAPL",)
    assert page.rows.symbol.tolist() == [0, 0]
    assert [from_us(ts) for ts in page.rows.ts] == [at("2024-03-05T15:00"), at("2024-03-05T15:01")]
    assert page.rows.open.tolist() == [9.0000000001, 10.5]
    assert page.rows.volume.tolist() == [100, 9099.618093]
    assert page.rows.trade_count.tolist() == [7 if "n" in dialect.keys else NO_TRADE_COUNT] * 2
    assert (page.next_token, page.feed, page.basis, page.received) == (dialect.kept, "sip", "raw", 2)
    assert page.received_at == NOW


@EACH
def test_what_is_not_given_is_marked(dialect: Dialect) -> None:
    """Rows without count and vwap are good rows."""
    page = dialect.parse(dialect.page(dialect.row(n=..., vw=...), dialect.row(n=None, vw=None)))

    assert page.rows.trade_count.tolist() == [NO_TRADE_COUNT] * 2
    assert np.isnan(page.rows.vwap).all()


@EACH
def test_pages_without_rows_are_pages(dialect: Dialect) -> None:
    """Nothing, null, or no key at all is a page without rows and without symbols (H11, H12)."""
    parsed = [dialect.parse(page) for page in dialect.empty]

    assert [(page.received, page.symbols, page.next_token) for page in parsed] == [(0, (), None)] * len(parsed)


@PAGED
def test_an_empty_page_with_a_token_goes_on(dialect: Dialect) -> None:
    """Only an absent token ends the chain (H20)."""
    assert dialect.parse(dialect.with_token()).next_token == dialect.kept


@EACH
def test_other_shapes_of_the_same_row_are_read(dialect: Dialect) -> None:
    """An object instead of a list, and what else has been seen, holds the same row (H12)."""
    for reshape in dialect.reshaped:
        assert dialect.parse(reshape(dialect.row())).rows.close.tolist() == [11.25]


@EACH
@pytest.mark.parametrize("key", ["o", "h", "l", "c", "v"])
@pytest.mark.parametrize("value", [None, "", "NaN", "N/A", "Infinity", True, [], {}, "10.5", 10**400])
def test_a_row_without_a_number_is_set_aside(dialect: Dialect, key: str, value: object) -> None:
    """One unreadable price or volume rejects its row by Q04, with its JSON; the others stay (D01)."""
    bad = dialect.row("2024-03-05T15:01", **{key: value})

    page = dialect.parse(dialect.page(dialect.row(), bad, dialect.row("2024-03-05T15:02")))

    (rejected,) = page.rejected
    assert len(page.rows) == 2
    assert (rejected.symbol, rejected.rule) == ("AAPL", "Q04")
    assert rejected.ts == to_us(at("2024-03-05T15:01"))
    stamp = dialect.keys["t"]
    assert json.loads(rejected.raw)[stamp] == bad[stamp]


@ROW_BY_ROW
@pytest.mark.parametrize("key", ["o", "h", "l", "c", "v"])
def test_a_row_that_lacks_a_number_is_set_aside(dialect: Dialect, key: str) -> None:
    """An absent price or volume is none that can be read (D01)."""
    page = dialect.parse(dialect.page(dialect.row(), dialect.row("2024-03-05T15:01", **{key: ...})))

    assert [one.rule for one in page.rejected] == ["Q04"]


def assert_set_aside_by_q10(dialect: Dialect, **change: Any) -> None:
    """A row with *change* is set aside, and no other."""
    page = dialect.parse(dialect.page(dialect.row(), dialect.row(**change)))

    assert [one.rule for one in page.rejected] == ["Q10"]
    assert len(page.rows) == 1


@GIVES_COUNTS
@pytest.mark.parametrize("count", [-1, 1.5, "x", True, 2**63])
def test_a_bad_count_sets_its_row_aside(dialect: Dialect, count: object) -> None:
    """Where given, a count must be one (Q10)."""
    assert_set_aside_by_q10(dialect, n=count)


@GIVES_VWAP
@pytest.mark.parametrize("vwap", ["x", "NaN", []])
def test_a_bad_vwap_sets_its_row_aside(dialect: Dialect, vwap: object) -> None:
    """Where given, a vwap must be a number (Q10)."""
    assert_set_aside_by_q10(dialect, vw=vwap)


@EACH
@pytest.mark.parametrize(
    ("volume", "stored"), [(1.300741e06, 1300741.0), (0, 0.0), (-1, -1.0), (1e16, 1e16), (2**63, 2.0**63)]
)
def test_volumes_are_kept_exactly(dialect: Dialect, volume: float, stored: float) -> None:
    """Fractions, exponents and odd values are not for this layer to judge (D18)."""
    assert dialect.parse(dialect.page(dialect.row(v=volume))).rows.volume.tolist() == [stored]


@EACH
def test_a_volume_in_exponent_notation_is_a_number(dialect: Dialect) -> None:
    """As some vendors write it (D18)."""
    body = dialect.body(dialect.row(v=86420)).replace(b"86420", b"1.300741e+06")

    assert dialect.parse(body).rows.volume.tolist() == [1300741.0]


@ROW_BY_ROW
def test_the_json_of_a_rejected_row_is_as_sent(dialect: Dialect) -> None:
    """Evidence keeps its own spelling of numbers."""
    stamp = json.dumps(dialect.stamp(at("2024-03-05T15:00")))
    values = zip(("t", "o", "h", "l", "c", "v"), (stamp, "1.50", '"NaN"', "1e0", "1.5", "1"), strict=True)
    bad = ("{" + "".join(f'"{dialect.keys[key]}":{value},' for key, value in values) + '"extra":"x"}').encode()
    body = dialect.body(dialect.row(), dialect.row(x="here"))
    second = json.dumps(dialect.row(x="here")).encode()

    assert dialect.parse(body.replace(second, bad)).rejected[0].raw == bad.decode()


@EACH
@pytest.mark.parametrize(
    "make_rows",
    [
        lambda row: [row(o=...)],
        lambda row: [row(t=...), row(t=...)],
        lambda row: [{**row(c=...), "closing": 1}],
        lambda row: [row(o="10.5"), row(o="10.6")],
    ],
)
def test_another_schema_is_refused_as_a_whole(dialect: Dialect, make_rows: Callable[..., list[object]]) -> None:
    """A key that no row has, or numbers that are text in every row, mean that the contract has changed (H30)."""
    assert dialect.refusal(dialect.page(*make_rows(dialect.row))) == "schema"


@GIVES_COUNTS
def test_counts_that_are_text_are_another_schema(dialect: Dialect) -> None:
    """In every row, that is (H30)."""
    assert dialect.refusal(dialect.page(dialect.row(n="7"))) == "schema"


@GIVES_VWAP
def test_vwaps_that_are_text_are_another_schema(dialect: Dialect) -> None:
    """In every row, that is (H30)."""
    assert dialect.refusal(dialect.page(dialect.row(vw="11.1"))) == "schema"


@ROW_BY_ROW
@pytest.mark.parametrize("row", [[1, 2, 3], "row"])
def test_rows_that_are_no_objects_are_another_schema(dialect: Dialect, row: object) -> None:
    """Arrays or texts in the place of all rows are refused (H30)."""
    assert dialect.refusal(dialect.page(row)) == "schema"


@EACH
def test_a_renamed_or_mistyped_field_is_refused(dialect: Dialect) -> None:
    """A list or token under another name never reads as 'no rows' or 'last page' (H30)."""
    for changes in dialect.mistyped:
        assert dialect.refusal(dialect.page(dialect.row(), **changes)) == "schema", changes


@EACH
def test_unknown_fields_are_ignored(dialect: Dialect) -> None:
    """What a provider adds does no harm (H30)."""
    page = dialect.parse(dialect.page(dialect.row(z={"deep": [1]}), dialect.row(x="1"), took_ms=3))

    assert (len(page.rows), len(page.rejected)) == (2, 0)


@EACH
@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:-20],
        lambda body: body + body,
        lambda body: body.replace(b"10.5", b"NaN"),
        lambda body: body.replace(b"10.5", b"Infinity"),
        lambda body: body.replace(b"10.5", b"1e400"),
        lambda body: re.sub(rb'("o[a-z]*": )', rb"\1 3, \1", body),
        lambda body: body[:-1] + b"," + body[1:],
        lambda body: body[:-1] + b',"x":1e999}',
        lambda body: body[:-1] + b',"x":"\xff"}',
        lambda body: b"\xef\xbb\xbf" + body,
    ],
    ids=["cut", "doubled", "NaN", "Infinity", "1e400", "key twice", "all keys twice", "1e999", "no UTF-8", "mark"],
)
def test_lax_json_is_refused(dialect: Dialect, spoil: Callable[[bytes], bytes]) -> None:
    """Cut, doubled, with NaN or overflow or a key twice: no such page is believed (H16)."""
    assert dialect.refusal(spoil(dialect.body(dialect.row()))) == "json"


@EACH
@pytest.mark.parametrize("body", [b"", b"  ", b"<html>busy</html>", b"<!DOCTYPE html>"])
def test_an_empty_body_or_a_web_page_is_no_page(dialect: Dialect, body: bytes) -> None:
    """HTML may come with any status, 200 included (H10)."""
    assert dialect.refusal(body) == "body"


@EACH
@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8", "application/xml"])
def test_another_content_type_is_no_page(dialect: Dialect, kind: str) -> None:
    """Whatever the body looks like (H10)."""
    response = HttpResponse(200, {"content-type": kind}, dialect.body(dialect.row()), NOW)

    with pytest.raises(BadResponse) as caught:
        dialect.provider.parse_bars(bars_query(), response)

    assert caught.value.reason == "body"


@EACH
@pytest.mark.parametrize("told", [{"error": "busy"}, {"message": "busy"}, {"status": "ERROR"}])
def test_an_error_with_status_200_is_no_page(dialect: Dialect, told: Mapping[str, object]) -> None:
    """Whatever tells of an error is no success, even if rows came with it (H10)."""
    assert dialect.refusal(dialect.page(dialect.row(), **told)) == "body"


@EACH
def test_oversized_answers_are_refused_unread(dialect: Dialect) -> None:
    """More than twice the rows asked for, endless lists and nesting bombs are too large (H31)."""
    nested = b"[" * 100_000 + b"]" * 100_000
    body = dialect.body(dialect.row())[:-1]
    size = dialect.make(10).capabilities.page_size
    bombs: list[tuple[object, int]] = [
        (dialect.page(*[dialect.row()] * (2 * size + 1)), 10),
        (body + b',"x":[' + b"0," * 1_000_000 + b"0]}", 10),
        (body + b',"x":"' + b"0" * (1_000_000 + 1_200 * size) + b'"}', 10),
        (body + b',"x":' + nested + b"}", 10_000),
        (dialect.body(dialect.row(v=86420)).replace(b"86420", nested), 10_000),
    ]

    assert [dialect.refusal(page, page_size=page_size) for page, page_size in bombs] == ["too_large"] * len(bombs)


@each(lambda dialect: dialect.declares_count)
def test_a_declared_count_must_be_that_of_the_rows(dialect: Dialect) -> None:
    """A page that lacks declared rows, or holds more, is asked for once more (H13)."""
    rows = [dialect.row(), dialect.row("2024-03-05T15:01")]

    assert dialect.refusal(dialect.page(*rows, count=3)) == "count"
    assert dialect.parse(dialect.page(*rows, count=2)).received == 2


@EACH
def test_rows_of_a_symbol_not_asked_for_refuse_the_page(dialect: Dialect) -> None:
    """The answer belongs to another question (H27, Q16)."""
    for changes in dialect.foreign:
        assert dialect.refusal(dialect.page(dialect.row(), **changes)) == "wrong_symbol", changes


@EACH
def test_an_answer_that_calls_itself_something_else_is_refused(dialect: Dialect) -> None:
    """Another currency, feed or basis than asked for is no answer (H29, Q17)."""
    for changes in dialect.variants:
        assert dialect.refusal(dialect.page(dialect.row(), **changes)) == "wrong_variant", changes


@EACH
def test_rows_stay_in_the_order_sent(dialect: Dialect) -> None:
    """Descending, doubled and off-grid rows are kept as they are: sorting and judging is for the rules (H32, Q03)."""
    stamps = ["2024-03-05T15:02:00", "2024-03-05T15:00:14", "2024-03-05T15:01:00", "2024-03-05T15:01:00"]

    page = dialect.parse(dialect.page(*[dialect.row(stamp) for stamp in stamps]))

    assert [from_us(ts) for ts in page.rows.ts] == [at(stamp) for stamp in stamps]


@EACH
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.differing_executors])
@given(
    body=st.one_of(
        st.binary(max_size=60), st.text(alphabet='{}[]":,01eE-.nulNtrafsbAPLo ', max_size=60).map(str.encode)
    )
)
def test_garbage_is_refused_and_nothing_worse(dialect: Dialect, body: bytes) -> None:
    """Any bytes give a page or a BadResponse."""
    reason, received = "", 0
    try:
        received = dialect.parse(body).received
    except BadResponse as error:
        reason = error.reason

    assert reason in {"", "json", "body", "schema", "wrong_symbol", "too_large"}
    assert received == 0
