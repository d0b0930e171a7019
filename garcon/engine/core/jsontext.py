"""JSON as the engine writes it: no blanks, Unicode as it is.

What it never does: accept what is not plain data. Its one law: one encoder is made once; making one
for each text costs more than small texts do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

_SEPARATORS: Final = (",", ":")


def _make_encoder() -> Callable[[Any], str]:
    plain = json.JSONEncoder(separators=_SEPARATORS, ensure_ascii=False, check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    # What JSONEncoder.encode makes anew on each call, made once.
    chunks = make(
        None, plain.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
    )

    def encode(value: Any) -> str:
        return "".join(chunks(value, 0))

    return encode


encode: Final = _make_encoder()
