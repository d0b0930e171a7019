"""JSON as the engine writes it (no blanks, Unicode as it is) and reads it (what JSON allows).

What it never does: accept what is not plain data. Its one law: what can be made once is made
once; making it for each text costs more than small texts do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

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


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


_decoder: Final = json.JSONDecoder(parse_constant=_no_constant)


def decode(text: str) -> Any:
    """The value of a text.

    Raises:
        ValueError: It is no JSON; NaN and the infinities are none.
        RecursionError: It is nested too deeply.
    """
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError:
        end = -1
    # What has blanks around it, as few have, is looked at by the slower way.
    return value if end == len(text) else _decoder.decode(text)
