"""`barfill init`: what it writes can be used as it stands, hurts nobody's files, and names only what exists."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from barfill.cli.init import TEMPLATES, env_text, settings_text
from barfill.cli.main import COMMANDS
from barfill.settings import SETTINGS, Settings, read_settings
from tests.cli.conftest import BARFILL, Shell, clean_environment
from tests.cli.test_main import find

WRITTEN = {
    "--github-actions": {".github/workflows/barfill.yml"},
    "--systemd": {"barfill-schedule.service", "barfill-worker@.service", "barfill.env"},
    "--compose": {"Containerfile", "compose.yaml", "barfill.env", "postgres.env"},
}
SECRETS = {"DATABASE_URL": "postgresql://u:p@h/d", "ALPACA_API_KEY": "PKX", "ALPACA_API_SECRET": "SECRETX"}
OF_OTHERS = {"PYTHONUNBUFFERED", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGPASSWORD"}
CALLS = (
    r"(?:by: |DATABASE_URL: |/bin/)barfill ([a-z]+)",
    r"--rm scheduler ([a-z]+)",
    r'"barfill", "([a-z]+)"',
    r'^\s*(?:command: |CMD )\["(?!barfill)([a-z]+)"[,\]]',
    r"command=\(([a-z]+)",
)
HOSTILE = (
    "; touch x",
    "$(touch x)",
    "`touch x`",
    "a' ; touch x ; '",
    'a" ; touch x ; "',
    "--output=x",
    "${IFS}\ntouch x",
)


class StrictLoader(yaml.SafeLoader):
    """YAML without types that only YAML 1.1 sees (`on`, `17:30`), and without a key that stands twice."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    assert len(names) == len(set(names)), f"a key stands twice among {names}"
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value
    }


StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp if not tag.endswith(":bool") else re.compile("true|false"))
        for tag, regexp in found
        if not tag.endswith((":int", ":float", ":timestamp"))
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parsed(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)


@dataclass(frozen=True)
class Place:
    """A directory to write into, and a home."""

    directory: Path
    home: Path

    def init(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One `barfill init` to its end, in the directory."""
        environment = clean_environment() | {"BARFILL_HOME": str(self.home)}
        return subprocess.run(
            [BARFILL, "init", *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def files(self) -> set[str]:
        """What lies in the directory."""
        return {str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "here").mkdir()
    return Place(tmp_path / "here", tmp_path / "home")


@pytest.fixture
def workflow(place: Place) -> Any:
    """The workflow as it is written, parsed."""
    assert place.init("--github-actions").returncode == 0
    return parsed(place.directory / ".github/workflows/barfill.yml")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_an_option_the_settings_file_is_written(place: Place) -> None:
    """In BARFILL_HOME, for its owner alone, and nothing else anywhere."""
    done = place.init()

    assert done.returncode == 0, done.stderr
    assert "Wrote" in done.stdout
    assert "barfill doctor" in done.stdout
    assert mode(place.home / "barfill.toml") == 0o600
    assert mode(place.home) == 0o700
    assert place.files() == set()


def test_a_written_settings_file_sets_nothing(place: Place) -> None:
    """Every setting that may stand in it is there, as a comment."""
    place.init()

    text = (place.home / "barfill.toml").read_text(encoding="utf-8")

    assert tomllib.loads(text) == {}
    assert re.findall(r"^#(\w+) = ", text, re.MULTILINE) == [info.name.lower() for info in SETTINGS if info.is_in_file]


def test_every_comment_of_the_settings_file_can_be_taken_at_its_word(tmp_path: Path) -> None:
    """With every # taken away it is read, and what has a default has that default."""
    path = tmp_path / "barfill.toml"
    path.write_text(re.sub(r"^#(?! |$)", "", settings_text(), flags=re.MULTILINE), encoding="utf-8")
    path.chmod(0o600)

    found = read_settings({"BARFILL_HOME": str(tmp_path)})

    default = Settings()
    assert {info.name for info in SETTINGS if found.source(info).value != "file"} == {"BARFILL_HOME"}
    for info in SETTINGS:
        if info.is_in_file and not info.example and info.shown_default != "sip":
            assert getattr(found, info.name.lower()) == getattr(default, info.name.lower()), info.name


def test_every_line_of_the_environment_file_can_be_taken_at_its_word(tmp_path: Path) -> None:
    """As for the settings file."""
    lines = re.findall(r"^#(\w+)=(.*)$", env_text(), re.MULTILINE)

    found = read_settings(dict(lines) | {"BARFILL_HOME": str(tmp_path)})

    assert [name for name, _ in lines] == [info.name for info in SETTINGS if info.is_in_file]
    assert found.max_concurrent_jobs == 5


@pytest.mark.parametrize("option", WRITTEN)
def test_each_option_writes_its_files_and_tells_them(option: str, place: Place) -> None:
    """And nothing into BARFILL_HOME; those that hold secrets are for their owner alone."""
    done = place.init(option)

    assert done.returncode == 0, done.stderr
    assert place.files() == WRITTEN[option]
    assert all(f"Wrote {name}" in done.stdout for name in WRITTEN[option])
    assert "Next, for" in done.stdout
    assert not place.home.exists()
    for name in WRITTEN[option]:
        assert mode(place.directory / name) & 0o077 == (
            0 if name.endswith(".env") else mode(place.directory / name) & 0o077
        )


def test_files_go_where_the_directory_says(place: Place) -> None:
    """It is made if it is not there; a file that two options share is written once."""
    done = place.init("--systemd", "--compose", "--directory", "deep/down")

    assert done.returncode == 0, done.stderr
    assert place.files() == {f"deep/down/{name}" for name in WRITTEN["--systemd"] | WRITTEN["--compose"]}
    assert done.stdout.count("barfill.env, mode 600") == 1


def test_a_dry_run_writes_nothing(place: Place) -> None:
    """It says what it would write."""
    done = place.init("--github-actions", "--settings", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Would write") == 2
    assert place.files() == set()
    assert not place.home.exists()


def test_the_same_again_changes_nothing(place: Place) -> None:
    """Passwords and keys stay as they are, and it is no error."""
    place.init("--compose", "--settings")
    before = {name: (place.directory / name).read_text() for name in place.files()}
    (place.directory / "barfill.env").write_text("ALPACA_API_KEY=PKMINE\n")

    done = place.init("--compose", "--settings")
    forced = place.init("--compose", "--settings", "--force")

    assert (done.returncode, forced.returncode) == (0, 0), done.stderr
    after = {name: (place.directory / name).read_text() for name in place.files()}
    assert after == before | {"barfill.env": "ALPACA_API_KEY=PKMINE\n"}
    assert "Left as it is, since it holds your values: barfill.env" in forced.stdout


def test_a_file_that_differs_is_not_replaced(place: Place) -> None:
    """Exit code 2; it is said which file and what differs, and the others are not written either."""
    mine = place.directory / "compose.yaml"
    mine.write_text("services: {}\n")

    done = place.init("--compose")

    assert done.returncode == 2
    assert done.stderr.startswith("Error: compose.yaml is there and differs:\n")
    assert "-services: {}" in done.stderr
    assert "--force" in done.stderr
    assert place.files() == {"compose.yaml"}
    assert mine.read_text() == "services: {}\n"


def test_force_keeps_what_was_there(place: Place) -> None:
    """As NAME.old, with the mode that it had."""
    place.init()
    path = place.home / "barfill.toml"
    path.write_text('alpaca_api_key = "PKMINE"\nalpaca_api_secret = "CANARY"\n')

    refused = place.init()
    forced = place.init("--force")

    assert refused.returncode == 2
    assert "it sets alpaca_api_key, alpaca_api_secret" in refused.stderr
    assert "CANARY" not in refused.stderr + refused.stdout + forced.stdout + forced.stderr
    assert forced.returncode == 0
    assert "CANARY" in (place.home / "barfill.toml.old").read_text()
    assert [mode(one) for one in sorted(place.home.iterdir())] == [0o600, 0o600]
    assert path.read_text() == settings_text()


def test_a_broken_settings_file_does_not_hinder(place: Place) -> None:
    """Whoever wants a new one has a reason."""
    place.home.mkdir()
    (place.home / "barfill.toml").write_text("not toml at all [")

    assert place.init("--force").returncode == 0
    assert tomllib.loads((place.home / "barfill.toml").read_text()) == {}


def test_a_place_that_cannot_be_written_is_one_sentence(place: Place) -> None:
    """A file where a directory should be."""
    (place.directory / ".github").write_text("")

    done = place.init("--github-actions")

    assert done.returncode == 2
    assert ".github/workflows/barfill.yml cannot be" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_workflow_runs_as_promised(workflow: Any) -> None:
    """Every six hours and by hand, one at a time, bounded, with no more rights than it needs."""
    job = workflow["jobs"]["fill"]

    assert set(workflow["on"]) == {"schedule", "workflow_dispatch"}
    assert workflow["on"]["schedule"] == [{"cron": "17 */6 * * *"}]
    assert set(workflow["on"]["workflow_dispatch"]["inputs"]) == {"symbols", "timeframes", "days"}
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"] == {"group": "barfill", "cancel-in-progress": False}
    assert workflow["defaults"] == {"run": {"shell": "bash"}}
    assert int(job["timeout-minutes"]) <= 60
    assert int(job["env"]["MAX_CALLS"]) <= 200 * int(job["timeout-minutes"])
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)


def test_the_workflow_pastes_nothing_into_its_scripts(workflow: Any) -> None:
    """Inputs reach them as variables; secrets only the step that needs them."""
    steps = workflow["jobs"]["fill"]["steps"]

    assert [step["name"] for step in steps if "${{" in step.get("run", "")] == []
    assert [step["name"] for step in steps if "secrets." in str(step)] == ["Fill"]
    assert "secrets." not in str({name: value for name, value in workflow.items() if name != "jobs"})


def test_the_workflow_warns_of_the_sleep(place: Place) -> None:
    """GitHub switches schedules of quiet public repositories off."""
    place.init("--github-actions")

    assert "60 days" in (place.directory / ".github/workflows/barfill.yml").read_text()


ACTIONLINT = shutil.which("actionlint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(ACTIONLINT is None, reason="there is no actionlint for this machine")
def test_actionlint_finds_nothing(place: Place) -> None:
    """It is among the tools where there is a wheel of it."""
    place.init("--github-actions")

    done = subprocess.run(
        [str(ACTIONLINT), "-no-color", ".github/workflows/barfill.yml"],
        cwd=place.directory,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


@dataclass(frozen=True)
class Runner:
    """Carries out the workflow's own scripts as GitHub's runner does, with a barfill that only notes its call."""

    workflow: Any
    directory: Path

    def fill(self, variables: Mapping[str, str], code: int = 0) -> subprocess.CompletedProcess[str]:
        """The step that fills, with a barfill that ends with *code*."""
        fake = self.directory / "bin" / "barfill"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >"{self.directory}/arguments"\n'
            f"echo the matrix\necho the reason >&2\nexit {code}\n"
        )
        fake.chmod(0o755)
        inputs = {"SYMBOLS": "", "TIMEFRAMES": "", "DAYS": ""}
        return self.run("Fill", {**inputs, **SECRETS, **variables})

    def summary(self, done: subprocess.CompletedProcess[str]) -> str:
        """The run's summary, after a step that fills."""
        outputs = self.directory / "output"
        found = dict(line.split("=", 1) for line in outputs.read_text().splitlines()) if outputs.exists() else {}
        outcome = "success" if done.returncode == 0 else "failure"
        assert self.run("Summary", {"CODE": found.get("code", ""), "OUTCOME": outcome}).returncode == 0
        return (self.directory / "summary").read_text()

    @property
    def path(self) -> str:
        """Where programs are looked for: in its own directory first."""
        return f"{self.directory / 'bin'}:{os.environ['PATH']}"

    def arguments(self) -> list[str]:
        """What barfill was called with."""
        return (self.directory / "arguments").read_text().splitlines()

    def run(self, name: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """The script of the step *name*."""
        (step,) = (step for step in self.workflow["jobs"]["fill"]["steps"] if step.get("name") == name)
        script = self.directory / "script.sh"
        script.write_text(step["run"])
        environment = {
            "PATH": self.path,
            "RUNNER_TEMP": str(self.directory),
            "GITHUB_OUTPUT": str(self.directory / "output"),
            "GITHUB_STEP_SUMMARY": str(self.directory / "summary"),
            "MAX_CALLS": self.workflow["jobs"]["fill"]["env"]["MAX_CALLS"],
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.directory,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def runner(workflow: Any, tmp_path: Path) -> Runner:
    directory = tmp_path / "runner"
    directory.mkdir()
    return Runner(workflow, directory)


@pytest.mark.parametrize(
    ("code", "result", "note", "said"),
    [
        (0, 0, "", "Complete."),
        (1, 1, "::error title=barfill::Ended with exit code 1", "Something failed."),
        (2, 2, "::error title=barfill::Ended with exit code 2", "cannot be used"),
        (3, 0, "::warning title=barfill::Gaps remain", "Gaps remain"),
        (130, 130, "::error title=barfill::Ended with exit code 130", "exit code 130"),
    ],
)
def test_what_becomes_of_an_exit_code(code: int, result: int, note: str, said: str, runner: Runner) -> None:
    """A failure fails the job, remaining gaps are a warning, and the summary shows what barfill printed in any case."""
    done = runner.fill({}, code)
    summary = runner.summary(done)

    assert done.returncode == result, done.stderr
    assert note in done.stdout
    assert ("::" in done.stdout) == bool(note)
    assert said in summary
    assert "the matrix" in summary
    assert "the reason" in summary


def test_a_secret_that_is_not_set_is_named(runner: Runner) -> None:
    """barfill is not called, and there is a summary all the same."""
    done = runner.fill({"DATABASE_URL": ""})
    summary = runner.summary(done)

    assert done.returncode == 2
    assert "::error title=barfill::The secret DATABASE_URL is not set" in done.stdout
    assert not (runner.directory / "arguments").exists()
    assert "No result" in summary


@pytest.mark.parametrize(
    ("inputs", "arguments"),
    [
        ({}, ["schedule", "--once"]),
        ({"SYMBOLS": "AAPL, MSFT"}, ["backfill", "--symbols=AAPL,,MSFT"]),
        ({"TIMEFRAMES": "1h,1d", "DAYS": "30"}, ["backfill", "--all", "--timeframes=1h,1d", "--days=30"]),
    ],
)
def test_inputs_choose_what_is_done(inputs: dict[str, str], arguments: list[str], runner: Runner) -> None:
    """Without one it is what the job definitions want; always within the bound."""
    assert runner.fill(inputs).returncode == 0

    assert runner.arguments() == [*arguments, "--max-calls", "2000"]


def test_the_scripts_read_only_what_they_are_given(workflow: Any) -> None:
    """Each variable in capitals is of the step, of the job, of GitHub's runner, or of the script's own loop."""
    job = workflow["jobs"]["fill"]
    for step in job["steps"]:
        read = set(re.findall(r"\$\{?!?([A-Z_]+)", step.get("run", "")))

        assert read - set(job["env"]) - {"RUNNER_TEMP", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} <= set(
            step.get("env", {})
        )


def test_the_workflow_fills_a_database(runner: Runner, shell: Shell) -> None:
    """With the real barfill, by inputs and then by what is kept complete; the summary shows the matrix."""
    (runner.directory / "bin").mkdir()
    (runner.directory / "bin" / "barfill").symlink_to(BARFILL)
    shell("watchlist", "add", "tech", "MSFT", "--no-jobs")
    shell("jobs", "definitions", "add", "MSFT", "--timeframes", "1d", "--days", "20")
    inputs = {"SYMBOLS": "AAPL", "TIMEFRAMES": "1d", "DAYS": "20"}

    by_hand = runner.run("Fill", {**shell.environment, **inputs, "PATH": runner.path})
    by_schedule = runner.run("Fill", {**shell.environment, **dict.fromkeys(inputs, ""), "PATH": runner.path})
    summary = runner.summary(by_schedule)

    assert (by_hand.returncode, by_schedule.returncode) == (0, 0), by_hand.stdout + by_schedule.stdout
    assert "AAPL" in by_hand.stdout
    assert "MSFT" in summary


@pytest.mark.parametrize("name", ["SYMBOLS", "TIMEFRAMES", "DAYS"])
@pytest.mark.parametrize("text", HOSTILE)
def test_an_input_is_never_a_command_or_an_option(name: str, text: str, runner: Runner) -> None:
    """It stays within the one argument that it is the value of; barfill then refuses it."""
    assert runner.fill({name: text}).returncode == 0

    ours = runner.arguments()
    assert not (runner.directory / "x").exists()
    begin = [one for one in ours if one.startswith(f"--{name.lower()}=")]
    assert len(begin) == 1
    assert [one for one in ours if one.startswith("--output")] == []
    assert ours[-2:] == ["--max-calls", "2000"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(place: Place) -> None:
    """It has nothing to say about them; a mistake it would name."""
    place.init("--systemd")
    for unit in place.directory.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/barfill/bin/barfill", str(BARFILL)))
    worker = place.directory / "barfill-worker@1.service"
    worker.write_text((place.directory / "barfill-worker@.service").read_text())

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(place.directory / "barfill-schedule.service"), str(worker)],
        capture_output=True,
        text=True,
        check=False,
    )

    about_ours = [line for line in (done.stdout + done.stderr).splitlines() if "barfill" in line]
    assert (done.returncode, about_ours) == (0, [])


@pytest.mark.parametrize("name", ["barfill-schedule.service", "barfill-worker@.service"])
def test_units_start_again_and_may_do_little(name: str, place: Place) -> None:
    """Whatever ends them, except settings that a person must correct."""
    place.init("--systemd")

    lines = (place.directory / name).read_text().splitlines()

    for line in (
        "Restart=always",
        "RestartPreventExitStatus=2",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "StateDirectory=barfill",
        "EnvironmentFile=/etc/barfill/barfill.env",
        "DynamicUser=yes",
        "CapabilityBoundingSet=",
    ):
        assert line in lines


def test_the_compose_file_starts_what_is_needed(place: Place) -> None:
    """A database of its own behind no port, one that plans, several that carry out; none of them as root."""
    place.init("--compose")

    services = parsed(place.directory / "compose.yaml")["services"]

    assert set(services) == {"postgres", "scheduler", "worker"}
    assert int(services["worker"]["deploy"]["replicas"]) > 1
    assert services["scheduler"]["command"] == ["schedule", "--plan-only"]
    assert services["worker"]["command"] == ["worker"]
    assert "ports" not in services["postgres"]
    for service in (services["scheduler"], services["worker"]):
        assert service["user"] == "10001"
        assert service["healthcheck"]["test"] == ["CMD", "barfill", "doctor"]
        assert service["env_file"] == ["barfill.env", "postgres.env"]
        assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["postgres"]["env_file"] == ["postgres.env"]


def test_the_container_does_not_run_as_root(place: Place) -> None:
    """And nothing of the directory, where keys lie, goes into the image."""
    place.init("--compose")

    lines = (place.directory / "Containerfile").read_text().splitlines()

    assert "USER 10001" in lines
    assert not [line for line in lines if line.startswith(("COPY", "ADD"))]


def test_the_password_of_the_database_is_its_own(place: Place, tmp_path: Path) -> None:
    """Made at random for each place, the same for the server and for those who connect."""
    (tmp_path / "there").mkdir()
    other = Place(tmp_path / "there", tmp_path / "home")
    done = [one.init("--compose") for one in (place, other)]

    found = [
        re.findall(r"^\w+=(.+)$", (one.directory / "postgres.env").read_text(), re.MULTILINE) for one in (place, other)
    ]

    assert [len(set(one)) for one in found] == [1, 1]
    assert found[0] != found[1]
    assert found[0][0] not in done[0].stdout


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not _has_compose(), reason="docker's client has no compose")
def test_compose_understands_its_file(place: Place) -> None:
    """No engine is asked."""
    place.init("--compose")

    done = subprocess.run(
        ["docker", "compose", "config", "--quiet"], cwd=place.directory, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_templates_name_only_what_exists(path: Path) -> None:
    """Commands, their options, and settings."""
    text = path.read_text(encoding="utf-8")
    called = {word for pattern in CALLS for word in re.findall(pattern, text, re.MULTILINE)}
    set_ = re.findall(r"^\s*(?:Environment=)?([A-Z][A-Z_]+)(?:=|: )", text, re.MULTILINE)
    options = re.findall(r"(?:schedule|backfill)\W+(--[a-z-]+)", text)

    known = {option for name in ("schedule", "backfill", "init") for one in find(name).params for option in one.opts}
    ours = {info.name for info in SETTINGS} | OF_OTHERS | {"BARFILL", "MAX_CALLS", "SYMBOLS", "TIMEFRAMES", "DAYS"}
    assert called
    assert called <= set(COMMANDS)
    assert set(set_) <= ours | {"CODE", "OUTCOME", "ENV", "USER"}
    assert set(options) <= known
