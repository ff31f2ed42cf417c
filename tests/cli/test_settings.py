"""Settings: where they come from, how they are checked, and that secrets stay secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from barfill.errors import SettingsError
from barfill.settings import SETTINGS, SettingInfo, Source, read_settings

CANARY = "PKCANARY0123456789"


def info(name: str) -> SettingInfo:
    return next(one for one in SETTINGS if one.name == name)


def write(home: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    """A settings file in *home*, and the environment that points there."""
    path = home / "barfill.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return {"BARFILL_HOME": str(home)}


def problems(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(environment)
    return str(caught.value)


def test_without_anything_set_there_are_defaults(tmp_path: Path) -> None:
    """Nothing has to be set to read the settings."""
    settings = read_settings({"BARFILL_HOME": str(tmp_path)})

    assert (settings.database_url, settings.alpaca_plan, settings.alpaca_page_size) == (None, "free", 10_000)
    assert settings.resample_h1_from_m15
    assert settings.max_concurrent_jobs == 5


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    """Each setting remembers where it came from."""
    environment = write(tmp_path, 'alpaca_plan = "paid"\nmax_concurrent_jobs = 7\n') | {"MAX_CONCURRENT_JOBS": "9"}

    settings = read_settings(environment)

    assert (settings.alpaca_plan, settings.max_concurrent_jobs) == ("paid", 9)
    assert settings.source(info("ALPACA_PLAN")) is Source.FILE
    assert settings.source(info("MAX_CONCURRENT_JOBS")) is Source.ENVIRONMENT
    assert settings.source(info("ALPACA_FEED")) is Source.DEFAULT


def test_a_variable_set_to_nothing_counts_as_not_set(tmp_path: Path) -> None:
    """CI systems pass on undefined secrets as empty strings."""
    settings = read_settings({"BARFILL_HOME": str(tmp_path), "ALPACA_API_KEY": "", "DATABASE_URL": "  "})

    assert settings.alpaca_api_key is None
    assert settings.database_url is None


def test_a_file_in_the_current_directory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write there must not be able to redirect the keys."""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    write(here, 'alpaca_base_url = "https://evil.example"\n')
    monkeypatch.chdir(here)

    assert read_settings({"BARFILL_HOME": str(home)}).alpaca_base_url is None


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    """One run of the command is enough to find every mistake."""
    text = problems(
        write(tmp_path, "max_concurrent_jobs = 0\nalpaca_plann = 1\n")
        | {"ALPACA_PLAN": "gold", "RESAMPLE_H1_FROM_M15": "maybe", "ALPACA_API_KEY": "k"}
    )

    for name in (
        "MAX_CONCURRENT_JOBS",
        "alpaca_plan?",
        "ALPACA_PLAN 'gold'",
        "RESAMPLE_H1_FROM_M15",
        "ALPACA_API_SECRET",
    ):
        assert name in text
    assert text.startswith("5 settings need a correction:")


@pytest.mark.parametrize(
    "line",
    [
        "max_concurrent_jobs = 1e5",
        "max_concurrent_jobs = true",
        'max_concurrent_jobs = "5"',
        "alpaca_page_size = 100.0",
        "alpaca_plan = true",
        "alpaca_feed = 1",
        'resample_h1_from_m15 = "NO"',
        "resample_h1_from_m15 = 0",
        'alpaca_api_key = ["!!python/object"]',
        "alpaca_base_url = 1979-05-27",
    ],
)
def test_types_in_the_file_are_strict(tmp_path: Path, line: str) -> None:
    """X17: nothing is turned into another type silently."""
    name = line.partition(" =")[0]

    assert f"sets {name} to a " in problems(write(tmp_path, line + "\n"))


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    """The parser's reason is told."""
    assert "is not valid TOML" in problems(write(tmp_path, "alpaca_plan: free\n"))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666])
def test_a_readable_file_with_secrets_is_refused_with_the_chmod(tmp_path: Path, mode: int) -> None:
    """X16: the text holds the command to run."""
    environment = write(tmp_path, f'alpaca_api_key = "{CANARY}"\nalpaca_api_secret = "s3cret"\n', mode)

    text = problems(environment)

    assert f"Run: chmod 600 {tmp_path / 'barfill.toml'}" in text
    assert CANARY not in text


def test_a_readable_file_without_secrets_is_fine(tmp_path: Path) -> None:
    """A shared file may hold what is no secret."""
    assert read_settings(write(tmp_path, 'alpaca_plan = "paid"\n', 0o644)).alpaca_plan == "paid"


def test_the_home_cannot_be_set_in_its_own_file(tmp_path: Path) -> None:
    """It decides where the file is."""
    assert "only the environment can" in problems(write(tmp_path, 'barfill_home = "/elsewhere"\n'))


@pytest.mark.parametrize(
    "url",
    [
        "http://data.alpaca.markets",
        "https://good@evil.example/x",
        "https://key:secret@data.alpaca.markets",
        "https://data.alpaca.markets/?key=1",
        "https://evil.example#@data.alpaca.markets",
        "https://good\\@evil.example",
        "//evil.example",
        "file:///etc/passwd",
        "http://2130706433.example/",
        "https://host:port",
        "http://[::ffff:169.254.169.254]/",
    ],
)
def test_a_base_url_that_could_leak_the_keys_is_refused(tmp_path: Path, url: str) -> None:
    """Only https, or http on this machine, with nothing but host, port and path."""
    text = problems({"BARFILL_HOME": str(tmp_path), "ALPACA_BASE_URL": url})

    assert text.startswith("ALPACA_BASE_URL")
    assert "secret" not in text.replace("secrets", "")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8900/alpaca", "http://localhost:1", "http://[::1]:8900", "https://a.b/c"]
)
def test_a_plain_base_url_is_taken(tmp_path: Path, url: str) -> None:
    """The simulated exchange on loopback needs no certificate."""
    assert read_settings({"BARFILL_HOME": str(tmp_path), "ALPACA_BASE_URL": url + "/"}).alpaca_base_url == url


@pytest.mark.parametrize("url", ["mysql://h/d", "host=x dbname=y", "postgresql://h:port/d", "postgres"])
def test_a_database_url_of_another_form_is_refused_unseen(tmp_path: Path, url: str) -> None:
    """The text shows the form to write, not what was given: it may hold a password."""
    text = problems({"BARFILL_HOME": str(tmp_path), "DATABASE_URL": url})

    assert "postgresql://user:password@host:5432/database" in text
    assert "dbname=y" not in text


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "caf\u00e9", "tab\tbed"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(tmp_path: Path, key: str) -> None:
    """A line break in a key would end the header that carries it."""
    text = problems({"BARFILL_HOME": str(tmp_path), "ALPACA_API_KEY": key, "ALPACA_API_SECRET": "s"})

    assert text.startswith("ALPACA_API_KEY (environment) holds a c")
    assert key not in text


def test_secrets_are_in_no_text_of_the_settings(tmp_path: Path) -> None:
    """Neither repr nor what doctor shows holds a key or a password."""
    settings = read_settings(
        {
            "BARFILL_HOME": str(tmp_path),
            "ALPACA_API_KEY": CANARY,
            "ALPACA_API_SECRET": CANARY + "S",
            "BARFILL_API_KEY": CANARY + "B",
            "DATABASE_URL": f"postgresql://user:{CANARY}@db.example:5433/bars?sslkey={CANARY}",
        }
    )

    shown = repr(settings) + "".join(settings.shown(one) for one in SETTINGS)

    assert CANARY not in shown
    assert "user" not in settings.shown(info("DATABASE_URL"))
    assert settings.shown(info("DATABASE_URL")) == "set (host db.example:5433, database bars)"
    assert CANARY in settings.secrets


def test_the_home_directory_is_shown_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What doctor prints may be passed on without the user's name in it."""
    monkeypatch.setenv("HOME", str(tmp_path))

    settings = read_settings({"BARFILL_HOME": str(tmp_path / "bars")})

    assert settings.shown(info("BARFILL_HOME")) == "~/bars"


def test_the_default_home_is_the_platforms_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without BARFILL_HOME data lie where the platform wants them."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert read_settings({}).barfill_home == tmp_path / "barfill"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """It is not passed over: settings that somebody wrote must count."""
    assert "cannot be read" in problems(write(tmp_path, "", 0o000))


def test_invented_bars_in_the_default_database_are_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A simulated exchange's bars would count as complete for good, so the user is warned."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    local = {"ALPACA_BASE_URL": "http://127.0.0.1:8900/alpaca"}

    assert read_settings(local).would_mix_in_invented_bars
    assert not read_settings(local | {"BARFILL_HOME": str(tmp_path / "own")}).would_mix_in_invented_bars
    assert not read_settings({"ALPACA_BASE_URL": "https://data.alpaca.markets"}).would_mix_in_invented_bars
    assert not read_settings({}).would_mix_in_invented_bars
