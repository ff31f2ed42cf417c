"""A host that does not prove itself gets no key."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from barfill.errors import CredentialsRejected
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from tests.providers.conftest import KEY, SECRET, bars_query
from tests.providers.servers import Answer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    extension = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *extension], check=True, capture_output=True)
    return certificate, key


async def test_a_certificate_that_proves_nothing_pauses_the_key(certificate: tuple[Path, Path]) -> None:
    """No request reaches such a host, the key is paused, and the one who trusts it gets through (H18)."""
    requests = 0

    async def handle(_request: web.BaseRequest) -> web.Response:
        nonlocal requests
        requests += 1
        return Answer({"bars": {}, "next_page_token": None}).response()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    provider = Alpaca(KEY, SECRET, base_url=f"https://127.0.0.1:{runner.addresses[0][1]}")

    async with HttpClient(provider.base_urls) as http:
        client = ProviderClient(provider, http, SlidingQuota(9))
        for _ in range(2):
            with pytest.raises(CredentialsRejected, match="does not prove") as caught:
                await client.fetch_page(bars_query(), None)
    assert (caught.value.reason, requests, client.requests_made.all) == ("certificate", 0, 1)

    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    async with HttpClient(provider.base_urls, tls=trusted) as http:
        await ProviderClient(provider, http, SlidingQuota(9)).fetch_page(bars_query(), None)
    assert requests == 1
    await runner.cleanup()
