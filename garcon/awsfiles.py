"""What AWS's environment variables and shared files say about region and endpoint of SWF.

boto3 finds the same when it makes a client; garcon has to know it before, to choose an engine, and
for an environment that is an argument. Reads at most two files, no credentials' values, no network.

Law: what boto3 reads, in boto3's order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.configloader import load_config, raw_config_parse
from botocore.exceptions import BotoCoreError, ConfigNotFound

from garcon.errors import EngineError


@dataclass(frozen=True)
class AwsSettings:
    """What the user has configured.

    Attributes:
        region: None where there is none.
        endpoint: URL for SWF; empty where there is none, or where it is to be ignored.
    """

    region: str | None
    endpoint: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> AwsSettings:
        """Read them from the environment and the files that it points to.

        `AWS_REGION` comes first: botocore does not know it, the other tools of AWS do.

        Raises:
            EngineError: a file cannot be read, or the profile in force is in none of them.
        """
        shared, profile = _shared_files(environ)
        region = (
            environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or profile.get("region")
        )
        ignored = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or profile.get(
            "ignore_configured_endpoint_urls", "false"
        )
        if ignored.lower() == "true":
            return cls(region, "")
        return cls(region, next(_endpoints(environ, shared, profile), ""))


def _endpoints(
    environ: Mapping[str, str], shared: Mapping[str, Any], profile: Mapping[str, Any]
) -> Iterator[str]:
    """Yield configured endpoints for SWF, the strongest first."""
    services = shared.get("services", {}).get(profile.get("services"), {})
    swf = services.get("swf", {})
    yield from filter(
        None,
        (
            environ.get("AWS_ENDPOINT_URL_SWF"),
            environ.get("AWS_ENDPOINT_URL"),
            swf.get("endpoint_url") if isinstance(swf, dict) else None,
            profile.get("endpoint_url"),
        ),
    )


def _shared_files(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the shared config, and the profile in force with the credentials file's additions."""
    config_file = environ.get("AWS_CONFIG_FILE", "~/.aws/config")
    secrets_file = environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    named = environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE")
    shared: dict[str, Any] = {"profiles": {}}
    secrets: dict[str, Any] = {}
    try:
        config_path = Path(expanded(config_file, environ))
        if config_path.is_file():
            shared = load_config(str(config_path))
        secrets_path = Path(expanded(secrets_file, environ))
        if secrets_path.is_file():
            secrets = raw_config_parse(str(secrets_path))
    except ConfigNotFound:
        pass  # removed between the look and the reading: as if it had never been there
    except (BotoCoreError, OSError, UnicodeDecodeError) as error:
        raise EngineError(f"engine: AWS's shared files cannot be read: {error}") from error
    profiles = shared.get("profiles", {})
    if named and named not in profiles and named not in secrets:
        raise EngineError(
            f"engine: AWS profile {named!r} is neither in {config_file} nor in {secrets_file};"
            " check AWS_PROFILE"
        )
    name = named or "default"
    return shared, {**profiles.get(name, {}), **secrets.get(name, {})}


def expanded(path: str, environ: Mapping[str, str]) -> str:
    """Return `path` with a leading `~` replaced by the given environment's home."""
    if path.startswith("~/") and environ.get("HOME"):
        return environ["HOME"] + path[1:]
    return os.path.expanduser(path)
