"""The socket at which a pool tells what it does: served to anybody, disturbed by nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from garcon.pool import status_socket
from garcon.pool.status_socket import QUESTION, StatusServer, _address, ask_all, is_stale
from tests.contract.clients import hung_up, wait_for_hang_up

DEADLINE_S = 30.0


@asynccontextmanager
async def a_server(folder, document=None) -> AsyncIterator[StatusServer]:
    """Serve `{"pid": 7}`, or what `document` returns."""

    async def tell() -> dict:
        return {"pid": 7}

    server = StatusServer(document or tell, folder)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


def socket_of(folder):
    """Return the only socket of the folder."""
    (path,) = folder.glob("*.sock")
    return path


async def open_socket(path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, however long the path of the machine's temporary folder is."""
    with _address(path) as address:
        return await asyncio.open_unix_connection(address)


def connect(sock: socket.socket, path) -> None:
    """Connect, as `open_socket` does."""
    with _address(path) as address:
        sock.connect(address)


def bind(sock: socket.socket, path) -> None:
    """Take the path's name, however long it is."""
    with _address(path) as address:
        sock.bind(address)


async def ask(path, question: bytes = QUESTION) -> tuple[bytes, bytes]:
    """Return the line that follows the question, and what follows that; nothing at a hang-up."""
    reader, writer = await open_socket(path)
    try:
        writer.write(question)
        line = await asyncio.wait_for(reader.readline(), DEADLINE_S)
        return line, await asyncio.wait_for(reader.read(), DEADLINE_S)
    except ConnectionError:
        return b"", b""
    finally:
        writer.transport.abort()


def leave_a_dead_one(folder):
    """Leave the socket of a supervisor that was killed."""
    path = folder / "999999-1.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        bind(sock, path)
    return path


async def ask_all_beside(folder, within_s: float = DEADLINE_S) -> list[dict]:
    """Ask as the command does, while this loop serves."""
    return await asyncio.get_running_loop().run_in_executor(None, ask_all, folder, within_s)


def test_a_pool_is_found_and_asked(tmp_path):
    """By its user alone; nothing is left of it at its end."""

    async def scenario() -> None:
        async with a_server(tmp_path):
            assert 0o600 == stat.S_IMODE(socket_of(tmp_path).stat().st_mode)
            assert [{"pid": 7}] == await ask_all_beside(tmp_path)

        assert [] == list(tmp_path.iterdir())
        assert [] == ask_all(tmp_path)

    asyncio.run(scenario())


def test_one_connection_may_ask_again_and_again(tmp_path):
    """A line for each question."""

    async def scenario() -> None:
        async with a_server(tmp_path):
            reader, writer = await open_socket(socket_of(tmp_path))
            for _ in range(3):
                writer.write(QUESTION)
                line = await asyncio.wait_for(reader.readline(), DEADLINE_S)
                assert {"pid": 7} == json.loads(line)
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff\xfe\n", b"[]\n", b'{"ask": "everything"}\n', b"\n"],
)
def test_garbage_is_answered_once_and_hung_up_on(tmp_path, garbage):
    """The next one who asks is served as if nothing had been."""

    async def scenario() -> None:
        async with a_server(tmp_path):
            line, rest = await ask(socket_of(tmp_path), garbage)

            assert "error" in json.loads(line)
            assert b"" == rest
            assert [{"pid": 7}] == await ask_all_beside(tmp_path)

    asyncio.run(scenario())


def test_a_line_without_end_is_hung_up_on(tmp_path):
    """It takes no more memory than a question may have."""

    async def scenario() -> None:
        async with a_server(tmp_path):
            line, _ = await ask(socket_of(tmp_path), b"x" * 100_000)

            assert b"" == line
            assert [{"pid": 7}] == await ask_all_beside(tmp_path)

    asyncio.run(scenario())


def test_a_client_that_does_not_read_is_left_and_others_are_served(tmp_path, monkeypatch):
    """Its answer is larger than any socket's buffer; its time, and only its, is short here."""
    asked = asyncio.Event()

    async def large() -> dict:
        asked.set()
        return {"pid": 7, "text": "x" * 8_000_000}

    async def scenario() -> None:
        async with a_server(tmp_path, large):
            with socket.socket(socket.AF_UNIX) as deaf:
                monkeypatch.setattr(status_socket, "SLOW_S", 0.2)
                connect(deaf, socket_of(tmp_path))
                deaf.sendall(QUESTION)
                await asyncio.wait_for(asked.wait(), DEADLINE_S)
                await asyncio.sleep(0)
                monkeypatch.setattr(status_socket, "SLOW_S", DEADLINE_S)

                (answer,) = await ask_all_beside(tmp_path)

                assert 7 == answer["pid"]
                assert await asyncio.to_thread(wait_for_hang_up, deaf, DEADLINE_S)

    asyncio.run(scenario())


@pytest.mark.parametrize("turns", range(6))
def test_a_pool_that_ends_leaves_no_client_behind(tmp_path, turns):
    """In whichever turn of the loop a client comes, it is hung up on."""

    async def scenario() -> None:
        with socket.socket(socket.AF_UNIX) as early, socket.socket(socket.AF_UNIX) as late:
            async with a_server(tmp_path):
                connect(early, socket_of(tmp_path))
                await asyncio.sleep(0.01)
                connect(late, socket_of(tmp_path))
                for _ in range(turns):
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert hung_up(early)
            assert hung_up(late)

    asyncio.run(scenario())


def test_no_more_than_a_few_are_served_at_a_time(tmp_path):
    """The others are hung up on; when one goes there is room again."""

    async def scenario() -> None:
        async with a_server(tmp_path):
            path = socket_of(tmp_path)
            held = [await open_socket(path) for _ in range(status_socket.CLIENTS_MAX)]
            for reader, writer in held:
                writer.write(QUESTION)
                await asyncio.wait_for(reader.readline(), DEADLINE_S)
            line, _ = await ask(path)
            assert b"" == line

            for _, writer in held:
                writer.close()
            deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
            while (await ask_all_beside(tmp_path))[0].get("pid") != 7:
                assert asyncio.get_running_loop().time() < deadline_s

    asyncio.run(scenario())


def test_a_mistake_in_the_telling_is_told_and_ends_nothing(tmp_path, caplog):
    """Whoever looks at a pool must not bring it down by looking."""

    async def broken() -> dict:
        raise KeyError("slot")

    async def scenario() -> None:
        async with a_server(tmp_path, broken):
            for _ in range(2):
                assert [{"error": "KeyError: 'slot'"}] == await ask_all_beside(tmp_path)

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())

    assert 2 == sum("event=status.failed" in record.getMessage() for record in caplog.records)


def test_what_a_killed_pool_left_is_removed(tmp_path):
    """By whoever asks, and by the next pool."""
    path = leave_a_dead_one(tmp_path)
    assert is_stale(path)

    assert [] == ask_all(tmp_path)
    assert not path.exists()

    path = leave_a_dead_one(tmp_path)

    async def scenario() -> None:
        async with a_server(tmp_path):
            assert not path.exists()
            assert not is_stale(socket_of(tmp_path))

    asyncio.run(scenario())


def test_a_pool_that_does_not_answer_is_told_as_such(tmp_path):
    """One that is stopped or stuck: its socket takes the question, and that is all."""
    path = tmp_path / "4711-1.sock"
    with socket.socket(socket.AF_UNIX) as stuck:
        bind(stuck, path)
        stuck.listen()

        assert [{"pid": 4711, "error": "it does not answer"}] == ask_all(tmp_path, within_s=0.05)

    assert path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems bound the path's length")
def test_a_runtime_folder_may_have_a_long_path(tmp_path):
    """A socket's address has room for 107 characters."""
    folder = tmp_path / ("x" * 150)
    folder.mkdir()

    async def scenario() -> None:
        async with a_server(folder):
            assert [{"pid": 7}] == await ask_all_beside(folder)

    asyncio.run(scenario())


def test_a_pool_without_a_place_for_its_socket_says_so_and_goes_on(tmp_path, caplog):
    """A full or read-only disk is no reason to stop working."""

    async def scenario() -> None:
        async with a_server(tmp_path / "missing"):
            pass

    asyncio.run(scenario())

    assert ["status.unserved"] == [record.garcon_event["event"] for record in caplog.records]


def test_pools_are_told_by_process_id(tmp_path):
    """In the order of their numbers, not of their names."""
    sockets = []
    for pid in (100, 20, 3):
        sock = socket.socket(socket.AF_UNIX)
        bind(sock, tmp_path / f"{pid}-1.sock")
        sock.listen()
        sockets.append(sock)

    assert [3, 20, 100] == [one["pid"] for one in ask_all(tmp_path, within_s=0.01)]

    for sock in sockets:
        sock.close()
