"""botocore's description of SWF, read without importing botocore.

What it never does: import the library whose data it reads; that would cost more than all the rest
of the engine's start. Its one law: the newest version that botocore would choose is taken.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

Model = dict[str, Any]


@functools.cache
def service_model() -> Model:
    """The service model of SWF with its operations and shapes; treat it as read-only.

    Raises:
        FileNotFoundError: This botocore carries no such model.
    """
    spec = importlib.util.find_spec("botocore")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        versions = sorted((Path(folder) / "data" / "swf").glob("*/service-2.json*"))
        if versions:
            return _read(versions[-1])
    raise FileNotFoundError("botocore's model of SWF is not there: is botocore installed?")


def _read(path: Path) -> Model:
    raw = path.read_bytes()
    model: Model = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return model
