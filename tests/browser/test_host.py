"""The host lets in only what it invited, and a peer that breaks the protocol harms nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.frames import LANE_HELLO, PAGE_HELLO, frame
from webinfer.core.errors import Forbidden, MalformedFrame, PortInUse, SocketLost
from webinfer.transport.server import Host, Ticket
from webinfer.transport.wire.commands import UnloadCommand
from webinfer.transport.wire.messages import LaneHello

HELLO = frame(LANE_HELLO)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host(max_message_mb=0.1)
    await host.start()
    yield host
    await host.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


Dial = Callable[[Ticket], "aiohttp.client._WSRequestContextManager"]


@pytest.fixture
def dial(host: Host, client: aiohttp.ClientSession) -> Dial:
    return lambda ticket: client.ws_connect(f"{host.origin}/ws?token={ticket.token}")


async def refused(client: aiohttp.ClientSession, url: str, **headers: str) -> dict[str, str]:
    async with client.get(url, headers=headers) as response:
        assert response.status == 403
        body: dict[str, str] = await response.json()
        return body


async def test_port_in_use_is_named(host: Host) -> None:
    with pytest.raises(PortInUse, match=str(host.port)) as caught:
        await Host(port=host.port).start()
    assert isinstance(caught.value, OSError)


async def test_unknown_token_is_refused(host: Host, client: aiohttp.ClientSession) -> None:
    body = await refused(client, f"{host.origin}/ws?token=guess")
    assert body["code"] == Forbidden.code


async def test_token_works_once(host: Host, client: aiohttp.ClientSession, dial: Dial) -> None:
    ticket = host.invite("lane")
    async with dial(ticket) as socket:
        await socket.send_bytes(HELLO)
        hello = (await ticket.connected).hello
        assert isinstance(hello, LaneHello)
        assert hello.lane == "b1.1"
        await refused(client, f"{host.origin}/ws?token={ticket.token}")


async def test_foreign_origin_is_refused_even_with_a_token(host: Host, client: aiohttp.ClientSession) -> None:
    ticket = host.invite("lane")
    await refused(client, f"{host.origin}/ws?token={ticket.token}", Origin="http://evil.example")
    assert not ticket.connected.done()


async def test_foreign_host_name_is_refused(host: Host, client: aiohttp.ClientSession) -> None:
    await refused(client, f"{host.origin}/", Host="rebound.example")


async def test_every_answer_isolates_the_page(host: Host, client: aiohttp.ClientSession) -> None:
    for path in ("/", "/assets/lane.js", "/runtime/ort.jspi.bundle.min.mjs"):
        async with client.get(host.origin + path) as response:
            assert response.status == 200
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_model_files_need_the_access_key_and_are_immutable(host: Host, client: aiohttp.ClientSession) -> None:
    url = host.origin + host.publish(Path(__file__), "a" * 64)
    await refused(client, url)
    await refused(client, url, Authorization="Bearer guess")
    async with client.get(url, headers={"Authorization": f"Bearer {host.access}"}) as response:
        assert response.status == 200
        assert "immutable" in response.headers["Cache-Control"]
        assert b"immutable" in await response.read()


GREETINGS = {
    "empty": b"",
    "garbage": b"garbage",
    "answer": frame({"kind": "ok", "id": 1}),
    "run": frame({"kind": "run"}),
}
RUBBISH = {
    "garbage": b"\xff" * 64,
    "a page's message": frame({"kind": "capabilities", "capabilities": {}}),
    "a field short": frame({"kind": "lost"}),
}


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
async def test_garbage_in_place_of_the_hello_ends_the_socket(host: Host, dial: Dial, greeting: bytes) -> None:
    ticket = host.invite("lane")
    async with dial(ticket) as socket:
        await socket.send_bytes(greeting)
        with pytest.raises(MalformedFrame):
            await ticket.connected
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
async def test_garbage_after_the_hello_fails_what_waits_and_ends_the_socket(
    host: Host, dial: Dial, rubbish: bytes
) -> None:
    ticket = host.invite("lane")
    async with dial(ticket) as socket:
        await socket.send_bytes(HELLO)
        connection = await ticket.connected
        waiting = asyncio.create_task(connection.ask(UnloadCommand(session="s1"), 10))
        await socket.receive()
        await socket.send_bytes(rubbish)
        with pytest.raises(SocketLost):
            await waiting
        assert (await socket.receive()).data == aiohttp.WSCloseCode.PROTOCOL_ERROR


async def test_oversized_message_ends_only_its_socket(host: Host, dial: Dial) -> None:
    first, second = host.invite("lane"), host.invite("lane")
    async with dial(first) as bad, dial(second) as good:
        await bad.send_bytes(HELLO)
        await good.send_bytes(HELLO)
        await bad.send_bytes(b"x" * 200_000)
        reason = await (await first.connected).lost
        assert "max_message_mb" in str(reason)
        assert not (await second.connected).lost.done()


async def test_text_message_is_a_breach(host: Host, dial: Dial) -> None:
    ticket = host.invite("lane")
    async with dial(ticket) as socket:
        await socket.send_bytes(HELLO)
        connection = await ticket.connected
        await socket.send_str("hello")
        reason = await connection.lost
    assert "text" in str(reason)


async def test_silent_page_counts_as_lost(client: aiohttp.ClientSession) -> None:
    host = Host(heartbeat=0.05)
    await host.start()
    ticket = host.invite("page")
    async with client.ws_connect(f"{host.origin}/ws?token={ticket.token}") as socket:
        await socket.send_bytes(frame(PAGE_HELLO))
        reason = await (await ticket.connected).lost
    assert "heartbeat" in str(reason)
    await host.close()


async def test_plain_request_to_the_socket_is_told_what_is_wanted(host: Host, client: aiohttp.ClientSession) -> None:
    ticket = host.invite("lane")
    async with client.get(f"{host.origin}/ws?token={ticket.token}") as response:
        assert response.status == 400
        assert "handshake" in await response.text()


async def test_ping_is_answered_and_a_close_is_returned(host: Host, dial: Dial) -> None:
    ticket = host.invite("lane")
    async with dial(ticket) as socket:
        await socket.send_bytes(HELLO)
        lost = (await ticket.connected).lost
        await socket.ping(b"are you there")
        await socket.close(code=1000)
        assert socket.close_code == 1000
        assert isinstance(await lost, SocketLost)


async def test_text_message_ends_the_socket(host: Host, dial: Dial) -> None:
    ticket = host.invite("lane")
    async with dial(ticket) as socket:
        await socket.send_bytes(HELLO)
        lost = (await ticket.connected).lost
        await socket.send_str("hello")
        assert (await socket.receive()).data == aiohttp.WSCloseCode.UNSUPPORTED_DATA
        assert "text" in str(await lost)


async def test_fragments_of_a_message_are_put_together(host: Host) -> None:
    ticket = host.invite("lane")
    reader, writer = await asyncio.open_connection(host.address, host.port)
    lines = [
        f"GET /ws?token={ticket.token} HTTP/1.1",
        f"Host: {host.address}:{host.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert answer.startswith("HTTP/1.1 101 ")
    assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
    half = len(HELLO) // 2
    writer.write(bytes((0x02, 0x80 | half)) + bytes(4) + HELLO[:half])  # masked with zeros
    await writer.drain()
    rest = len(HELLO) - half
    writer.write(bytes((0x80, 0x80 | rest)) + bytes(4) + HELLO[half:])
    hello = (await ticket.connected).hello
    assert isinstance(hello, LaneHello)
    assert hello.lane == "b1.1"
    writer.close()
    await writer.wait_closed()


async def test_silent_peer_does_not_hold_up_the_end(host: Host) -> None:
    ticket = host.invite("lane")
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{host.origin}/ws?token={ticket.token}", autoclose=False)
        await socket.send_bytes(HELLO)
        connection = await ticket.connected
        await asyncio.wait_for(connection.close(), 30)  # nobody reads at the other end, nobody answers the close
        assert connection.lost.done()
