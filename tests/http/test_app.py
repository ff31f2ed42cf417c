"""What holds for the whole application: probes, headers, its description, errors without secrets."""

from __future__ import annotations

import httpx
import pytest

from barfill.http import Context
from barfill.store.database import Database
from tests.http.conftest import KEY, Serve
from tests.http.test_guard import is_problem


def test_the_probes_tell_whether_it_lives_and_can_work(api: httpx.Client, serve: Serve) -> None:
    """It lives without a database, and is not ready; the text of the error names no password."""
    assert api.get("/healthz").json() == api.get("/readyz").json() == {"status": "ok"}
    cut_off = serve(database=Database("postgresql://barfill:CANARYPASSWORD@127.0.0.1:1/none"))

    assert cut_off.get("/healthz").status_code == 200
    answer = cut_off.get("/readyz")

    assert is_problem(answer, 503, "store-unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "CANARY" not in answer.text


def test_no_answer_can_be_framed_sniffed_or_kept(api: httpx.Client) -> None:
    """X10, X14: neither good ones nor refusals."""
    for answer in (api.get("/healthz"), api.get("/nothing"), api.get("/healthz", headers={"Host": "evil.example"})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_the_description_names_every_endpoint_with_examples(api: httpx.Client) -> None:
    """OpenAPI: each has a summary, its problems, and values to try."""
    document = api.get("/api/v1/openapi.json").json()

    own = {"chart", "ensure-coverage", "progress", "progress/stream", "status", "gaps"}
    own |= {"jobs", "jobs/{run_id}", "jobs/{run_id}/retry", "jobs/{run_id}/cancel"}
    of_feed = {f"/udf/{path}" for path in ("config", "symbols", "search", "history", "time")}
    assert set(document["paths"]) == {"/healthz", "/readyz", "/metrics"} | of_feed | {f"/api/v1/{path}" for path in own}
    chart = document["paths"]["/api/v1/chart"]["get"]
    assert {"200", "304", "404", "422", "503"} <= set(chart["responses"])
    by_name = {one["name"]: one for one in chart["parameters"]}
    assert set(by_name) == {"symbol", "timeframe", "from", "to", "limit", "adjustment"}
    assert by_name["symbol"]["schema"]["examples"] == ["AAPL", "BTC/USD"]
    assert chart["description"]


@pytest.mark.parametrize("path", ["/api/v1/openapi.json", "/nothing", "/api/v1/chart", "/docs", "/metrics"])
def test_no_answer_holds_a_secret(api: httpx.Client, context: Context, path: str) -> None:
    """X14: no key, no connection text, no path of the home directory."""
    text = api.get(path).text

    assert KEY not in text
    assert context.database.url not in text
    assert str(context.settings.barfill_home) not in text


def test_a_defect_is_told_without_its_words(serve: Serve) -> None:
    """The log has them; whoever asks gets a problem document."""

    class Broken:
        """A database that nobody expected."""

        def now(self) -> None:
            """Fails."""
            raise ZeroDivisionError("CANARY")

    answer = serve(database=Broken()).get("/readyz")

    assert is_problem(answer, 500, "defect")
    assert "CANARY" not in answer.text
