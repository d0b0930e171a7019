"""What all tests share: none reaches AWS or sees the pools of its host, whatever runs there."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast the machine is says nothing about the code.
settings.register_profile("garcon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("garcon")

AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SWF",
    "GARCON_ENGINE",
)


@pytest.fixture(autouse=True)
def _away_from_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Forget the host's AWS settings: variables, shared files and the metadata service."""
    for name in AWS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    nowhere = tmp_path_factory.getbasetemp() / "no-such-file"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def _no_client_is_kept() -> Iterator[None]:
    """End the connections of this process to the test's engine, which the next may not have."""
    yield
    if "garcon.client" in sys.modules:
        process = sys.modules["garcon.client"]._PROCESS
        clients, process._clients = process._clients, {}
        for client in clients.values():
            client.close()


@pytest.fixture(scope="session")
def _runtime_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all runtime folders."""
    return tmp_path_factory.mktemp("runtime")


@pytest.fixture(autouse=True)
def _own_runtime_folder(_runtime_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep journals and sockets of a test's pools from those of others, and of the host's user."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", tempfile.mkdtemp(dir=_runtime_folders))
