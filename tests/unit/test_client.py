"""Which engine a command means, and the clients it gets; no network anywhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from garcon import client as client_module
from garcon.client import Engine, credentials_for, default_path, resolve_engine, swf_client
from garcon.engine.ensure import EngineStartError
from garcon.errors import EngineError, UsageError
from tests.unit.source_tree import ROOT

AWS_HOST = "https://swf.us-west-2.amazonaws.com"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home, so that nothing of the machine's own AWS files counts."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    return home


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail whatever tries to connect or to look a name up."""

    def refuse(*args: object, **kwargs: object) -> Any:
        raise AssertionError(f"network touched: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def resolve(home: Path, option: str | None = None, **more: Any) -> Engine:
    """Resolve with an environment that holds HOME and `env`."""
    environ = {"HOME": str(home), **more.pop("env", {})}
    return resolve_engine(option, environ=environ, cwd=more.pop("cwd", home), **more)


def test_without_a_word_from_anybody_the_engine_is_local(home: Path, no_network: None) -> None:
    """No option, no environment, no flow client, no AWS files: the file in the working folder."""
    assert resolve(home) == Engine("local", path=home / ".garcon" / "engine.db")


def test_the_option_beats_everything_else(home: Path, no_network: None) -> None:
    """What stands in the command wins over the environment and the flow."""
    env = {"GARCON_ENGINE": "aws", "AWS_REGION": "eu-west-1"}

    engine = resolve(home, "local:x.db", env=env, flow_endpoint=AWS_HOST, flow_region="us-west-2")

    assert engine == Engine("local", path=home / "x.db")


def test_garcon_engine_beats_the_flow_and_the_flow_beats_the_environment(home: Path) -> None:
    """The order of the sources."""
    env = {"AWS_REGION": "eu-west-1"}

    named = resolve(home, env={**env, "GARCON_ENGINE": "http://h:1/"}, flow_region="us-west-2")
    own = resolve(home, env=env, flow_endpoint=AWS_HOST, flow_region="us-west-2")

    assert (named.kind, named.url) == ("url", "http://h:1")
    assert own == Engine("aws", url=AWS_HOST, region="us-west-2")


def test_a_flow_client_that_points_elsewhere_than_aws_is_another_engine(home: Path) -> None:
    """A flow whose client was made for a test server meets that server."""
    engine = resolve(home, flow_endpoint="http://127.0.0.1:5000", flow_region="eu-west-1")

    assert engine == Engine("url", url="http://127.0.0.1:5000", region="eu-west-1")


@pytest.mark.parametrize(
    ("env", "region", "url"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1", ""),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1", ""),
        ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "a", ""),
        ({"AWS_ENDPOINT_URL": "http://e"}, "us-east-1", "http://e"),
        (
            {"AWS_ENDPOINT_URL": "http://e", "AWS_ENDPOINT_URL_SWF": "http://s"},
            "us-east-1",
            "http://s",
        ),
    ],
)
def test_region_or_endpoint_in_the_environment_means_aws(
    home: Path, no_network: None, env: dict[str, str], region: str, url: str
) -> None:
    """Any of the four variables chooses AWS, without a look at the network."""
    assert resolve(home, env=env) == Engine("aws", url=url, region=region)


def test_endpoints_are_ignored_where_the_user_says_so(home: Path) -> None:
    """The AWS switch that turns configured endpoints off is obeyed."""
    env = {"AWS_ENDPOINT_URL": "http://e", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"}

    assert resolve(home, env=env).kind == "local"


def test_shared_config_counts_by_profile(home: Path, no_network: None) -> None:
    """The profile's region and its services' endpoint choose AWS; other profiles do not."""
    (home / ".aws" / "config").write_text(
        "[default]\noutput = json\n"
        "[profile far]\nregion = ap-south-1\nservices = mine\n"
        "[services mine]\nswf =\n  endpoint_url = http://own\n"
    )

    assert resolve(home).kind == "local"
    assert resolve(home, env={"AWS_PROFILE": "far"}) == Engine(
        "aws", url="http://own", region="ap-south-1"
    )


def test_unknown_profile_is_told_by_name(home: Path) -> None:
    """A misspelt AWS_PROFILE does not lead to the local engine in silence."""
    with pytest.raises(EngineError, match=r"'nope'.*check AWS_PROFILE"):
        resolve(home, env={"AWS_PROFILE": "nope"})

    assert resolve(home, "local", env={"AWS_PROFILE": "nope"}).kind == "local"


def test_aws_by_name_needs_a_region(home: Path) -> None:
    """`--engine aws` without any region ends with the mend and exit code 4."""
    with pytest.raises(EngineError, match="set AWS_REGION") as caught:
        resolve(home, "aws")

    assert caught.value.exit_code == 4
    assert resolve(home, "aws", flow_region="us-west-2").region == "us-west-2"


@pytest.mark.parametrize(
    "word",
    [
        "amazon",
        "http://",
        "http://h:99999",
        "http://h:x",
        "ftp://x",
        "localhost",
        "local::memory:",
        ":",
    ],
)
def test_a_word_that_names_no_engine_is_refused_with_the_choices(home: Path, word: str) -> None:
    """A wrong option is a usage error that lists what it may be."""
    with pytest.raises(UsageError, match="say aws, an http:// URL, local or local:PATH"):
        resolve(home, word)


@pytest.mark.parametrize(
    ("word", "env"),
    [
        ("http://me:open-sesame@h:1", {}),
        (None, {"GARCON_ENGINE": "https://me:open-sesame@h"}),
        (None, {"AWS_ENDPOINT_URL_SWF": "https://me:open-sesame@h", "AWS_REGION": "r"}),
    ],
)
def test_a_url_with_a_password_is_refused_and_not_repeated(
    home: Path, word: str | None, env: dict[str, str]
) -> None:
    """Each line that names the engine would show it."""
    with pytest.raises(UsageError, match="no user and no password") as refused:
        resolve(home, word, env=env)
    assert "open-sesame" not in str(refused.value)


@pytest.mark.parametrize("mark", [".garcon", "pyproject.toml"])
def test_local_file_lies_in_the_nearest_project_folder(tmp_path: Path, mark: str) -> None:
    """Commands run deep in a project share the project's engine."""
    project, deep = tmp_path / "project", tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    path = project / mark
    path.mkdir() if mark == ".garcon" else path.touch()

    assert default_path(deep) == project / ".garcon" / "engine.db"
    assert resolve(tmp_path, "local", cwd=deep).path == project / ".garcon" / "engine.db"


def test_local_path_is_absolute_and_knows_home(home: Path, tmp_path: Path) -> None:
    """The path that is shown and locked does not depend on who reads it."""
    assert resolve(home, "local:~/e.db").path == home / "e.db"
    assert resolve(home, "local:../e.db", cwd=home).path == tmp_path / "e.db"
    assert resolve(home, "local:/x/e.db").path == Path("/x/e.db")


def test_describe_tells_what_was_chosen() -> None:
    """The first line on stderr: path, or region and domain, or URL."""
    assert Engine("local", path=Path("/p/engine.db")).describe() == "engine: local, /p/engine.db"
    assert Engine("url", url="http://h:1").describe("dev") == "engine: http://h:1"
    assert (
        Engine("aws", url=AWS_HOST, region="us-west-2").describe("dev")
        == "engine: aws, region us-west-2, domain dev"
    )
    assert (
        Engine("aws", url="http://own", region="r").describe("d")
        == "engine: aws, region r, domain d, endpoint http://own"
    )


def test_keys_differ_where_engines_do() -> None:
    """What is journalled under a key is never answered at another engine."""
    engines = [
        Engine("local", path=Path("/a")),
        Engine("local", path=Path("/b")),
        Engine("url", url="http://h:1"),
        Engine("aws", region="eu-west-1"),
        Engine("aws", region="eu-west-2"),
    ]

    assert len({engine.key for engine in engines}) == len(engines)


@pytest.fixture
def process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without any AWS configuration and without clients."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(client_module, "_PROCESS", client_module._Process())


def test_aws_without_credentials_is_exit_4_with_the_mend(process: None, no_network: None) -> None:
    """A region alone is not enough: the first client says so."""
    with pytest.raises(EngineError, match=r"no credentials were found.*--engine local") as caught:
        swf_client(Engine("aws", region="eu-west-1"))

    assert caught.value.exit_code == 4


def test_other_engines_need_no_credentials(process: None, no_network: None) -> None:
    """Without any configuration a URL's client has a region and a key to sign with."""
    client = swf_client(Engine("url", url="http://127.0.0.1:9"))

    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    assert client.meta.region_name == "us-east-1"
    assert credentials_for(Engine("local", path=Path("/x"))).access_key == "garcon"


def test_url_engine_uses_the_key_that_is_configured(
    process: None, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that checks signatures gets the user's key; a local one never sees it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDUSER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    assert credentials_for(Engine("url", url="http://127.0.0.1:9")).access_key == "AKIDUSER"
    assert credentials_for(Engine("local", path=Path("/x"))).access_key == "garcon"


def test_polls_wait_longer_than_swf_holds_them_and_are_not_repeated(process: None) -> None:
    """A poll cut at 60 s or repeated by the SDK loses the task it was given."""
    engine = Engine("url", url="http://127.0.0.1:9")
    poll, call = (swf_client(engine, purpose=purpose).meta.config for purpose in ("poll", "call"))

    assert poll.read_timeout == 75
    assert poll.retries["total_max_attempts"] == 1
    assert call.retries["mode"] == "standard"
    assert call.retries.get("total_max_attempts", 3) > 1


def test_threads_share_one_client_made_once(process: None) -> None:
    """Many threads asking first at the same moment get the same client."""
    engine = Engine("url", url="http://127.0.0.1:9")
    got: list[object] = []
    gate = threading.Barrier(6)

    def ask() -> None:
        gate.wait()
        got.append(swf_client(engine))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(one) for one in got}) == 1


def test_forked_process_makes_clients_of_its_own(
    process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client is never carried over a fork."""
    engine = Engine("url", url="http://127.0.0.1:9")
    before = swf_client(engine)
    own_pid = os.getpid()
    monkeypatch.setattr(client_module.os, "getpid", lambda: own_pid + 1)

    assert swf_client(engine) is not before


def test_local_engine_that_cannot_start_is_an_engine_error(
    process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own error becomes one of garcon's, exit code 4, with its text."""

    def fail(path: Path) -> str:
        raise EngineStartError("engine: ended; its log ends:\nno space")

    monkeypatch.setattr(client_module, "ensure_engine", fail)

    with pytest.raises(EngineError, match="no space"):
        swf_client(Engine("local", path=Path("/x/engine.db")))


IMPORTS = """
import importlib, socket, sys
import boto3, botocore.session

def refuse(*args, **kwargs):
    raise AssertionError("a client or a connection was made at import")

boto3.session.Session.client = botocore.session.Session.create_client = refuse
socket.socket.connect = socket.create_connection = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
"""

DOCUMENTED = ("activity", "context", "decider", "event", "log", "param", "runner", "task", "utils")


def test_no_client_is_made_at_import() -> None:
    """Neither by the documented modules nor by a flow that brings none."""
    names = [*(f"garcon.{name}" for name in DOCUMENTED), "tests.contract.samples.four_steps"]

    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *names], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
