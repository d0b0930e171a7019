"""Bytes to requests: what a head says, where a body ends, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon.engine.http.connection import Unreadable, read_chunks, read_head
from garcon.engine.http.wire import MAX_BODY

GOOD = (
    b"POST / HTTP/1.1\r\nHost: localhost:80\r\nX-Amz-Target:  a.B \r\n"
    b"Content-Length: 5\r\n\r\nhello"
)


def test_a_head_is_read_once_it_is_whole() -> None:
    """Names in lower case, values without the blanks around them, and where the body begins."""
    assert all(read_head(GOOD[:end]) is None for end in range(GOOD.index(b"\r\n\r\n") + 3))
    head = read_head(GOOD)
    assert head is not None
    assert (head.method, head.path, head.length, head.keep) == ("POST", "/", 5, True)
    assert head.headers["x-amz-target"] == "a.B"
    assert GOOD[head.size :] == b"hello"


@pytest.mark.parametrize(
    ("version", "connection", "keep"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: Keep-Alive\r\n", True),
    ],
)
def test_a_connection_goes_on_where_both_sides_expect_it(
    version: str, connection: str, keep: bool
) -> None:
    """By the rules of both versions."""
    head = read_head(f"POST / HTTP/{version}\r\n{connection}\r\n".encode())
    assert head is not None
    assert head.keep is keep


@pytest.mark.parametrize(
    "lines",
    [
        "POST /\r\n",
        "POST / HTTP/2.0\r\n",
        "P ST / HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\nno colon\r\n",
        "POST / HTTP/1.1\r\nX: a\r\n folded\r\n",
        "POST / HTTP/1.1\r\nX : a\r\n",
        "POST / HTTP/1.1\r\nX: a\nY: b\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -5\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "POST / HTTP/1.1\r\nX: " + "a" * 70_000 + "\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(lines: str) -> None:
    """Two lengths, folded lines, unknown codings: no guess is made."""
    with pytest.raises(Unreadable):
        read_head(f"{lines}\r\n".encode())


def test_a_body_in_chunks_ends_behind_its_trailer() -> None:
    """Sizes in hexadecimal, extensions and trailers passed over, in any portions."""
    data = b"5\r\nhello\r\nA;x=y\r\n, world 10\r\n0\r\nTrailer: x\r\n\r\n"
    whole = b"".join((b"head", data, b"next"))
    for end in range(len(b"head") + len(data)):
        assert read_chunks(whole[:end], 4) is None
    assert read_chunks(whole, 4) == (b"hello, world 10", 4 + len(data))


@pytest.mark.parametrize(
    "data", [b"-1\r\n", b"x\r\n", b"\r\n", b"5\r\nhelloxx0\r\n\r\n", b"0x5\r\n"]
)
def test_what_are_no_chunks_is_refused(data: bytes) -> None:
    """Also where Python would read a number."""
    with pytest.raises(Unreadable):
        read_chunks(data, 0)


def test_a_body_in_chunks_has_the_bound_of_any_body() -> None:
    """Before its bytes have come."""
    with pytest.raises(Unreadable) as caught:
        read_chunks(f"{MAX_BODY + 1:x}\r\n".encode(), 0)
    assert caught.value.status == 413


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused_or_too_few(data: bytes) -> None:
    """No other error comes of them."""
    for text in (data, b"POST / HTTP/1.1\r\n" + data + b"\r\n\r\n"):
        with contextlib.suppress(Unreadable):
            head = read_head(text)
            assert head is None or head.size <= len(text)
    with contextlib.suppress(Unreadable):
        found = read_chunks(data, 0)
        assert found is None or found[1] <= len(data)
