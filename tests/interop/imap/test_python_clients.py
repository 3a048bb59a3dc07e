"""imapclient, imap-tools and aioimaplib: what mail programs in Python are built on."""

import asyncio
import re
from collections.abc import Callable

import aioimaplib
from harness.aioimap import opened_aioimaplib
from harness.client_box import Box, Wire
from harness.imap_harness import HOST
from harness.imap_transcript import message
from harness.programs import SECONDS
from imap_tools import AND, MailBox
from imapclient import IMAPClient


def test_imapclient(make_account: Callable[[str], Box]) -> None:
    box = make_account("imapclient")
    box.deliver(1, 2, 3)
    with IMAPClient(HOST, box.port, ssl_context=box.tls.client) as client, box.wire() as wire:
        client.login(box.address, box.password)
        modseq = client.select_folder("INBOX")[b"HIGHESTMODSEQ"]
        found = client.fetch(client.search(), ["BODY.PEEK[]", "FLAGS"])  # first sync
        assert {uid: each[b"BODY[]"] for uid, each in found.items()} == {n: message(n) for n in (1, 2, 3)}
        assert len(wire.contents()) == 3
        assert client.select_folder("INBOX")[b"HIGHESTMODSEQ"] == modseq  # second sync with nothing to do
        assert client.fetch([1, 2, 3], ["BODY.PEEK[]", "FLAGS"], [f"CHANGEDSINCE {modseq}"]) == {}
        assert len(wire.contents()) == 3

        assert client.add_flags(1, [b"\\Flagged", b"$Forwarded"])[1] == (b"\\Flagged", b"$Forwarded")
        client.move([2], "Archive")
        client.delete_messages([3])
        client.uid_expunge([3])
        client.append("Drafts", message(5), [b"\\Draft"])
        client.multiappend("Drafts", [message(6), {"msg": message(7), "flags": (b"\\Seen",)}])
        assert box.look() == {1: {"\\Flagged", "$Forwarded"}}
        assert box.look("Archive") == {2: set()}
        assert box.look("Drafts") == {5: {"\\Draft"}, 6: set(), 7: {"\\Seen"}}

        client.idle()
        box.deliver(8)
        assert (2, b"EXISTS") in client.idle_check(SECONDS)
        client.idle_done()
        client.logout()


def test_imap_tools(make_account: Callable[[str], Box]) -> None:
    box = make_account("imaptools")
    box.deliver(1, 2, 3)
    with box.wire() as wire, MailBox("localhost", box.port, SECONDS, ssl_context=box.tls.client) as mailbox:
        client = mailbox.login(box.address, box.password)
        found = list(client.fetch(AND(seen=False), mark_seen=True))  # first sync
        assert [(each.subject, each.text) for each in found] == [
            (f"Pli {n}", f"Ligne {n}\r\n") for n in (1, 2, 3)
        ]
        assert len(wire.contents()) == 3
        assert list(client.fetch(AND(seen=False))) == []  # second sync with nothing to do
        assert len(wire.contents()) == 3
        assert box.look() == {number: {"\\Seen"} for number in (1, 2, 3)}

        client.flag("1", ["\\Flagged"], value=True)
        client.flag("1", ["\\Seen"], value=False)
        client.move("2", "Archive")
        client.delete("3")
        client.append(message(5), "Drafts", flag_set=["\\Draft"])
        assert box.look() == {1: {"\\Flagged"}}
        assert (box.look("Archive"), box.look("Drafts")) == ({2: {"\\Seen"}}, {5: {"\\Draft"}})

        with client.idle as idle:
            box.deliver(8)
            assert b"* 2 EXISTS" in idle.poll(SECONDS)


def test_aioimaplib(make_account: Callable[[str], Box]) -> None:
    box = make_account("aioimaplib")
    box.deliver(1, 2, 3)

    async def play() -> None:
        opened = opened_aioimaplib(box.port, box.address, box.password, box.tls.client)
        async with opened as client:
            with box.wire() as wire:
                await play_aioimaplib(client, box, wire)

    asyncio.run(play())


async def play_aioimaplib(client: aioimaplib.IMAP4, box: Box, wire: Wire) -> None:
    selected = b"\n".join((await client.select("INBOX")).lines)
    modseq = int(re.search(rb"HIGHESTMODSEQ (\d+)", selected)[1])
    found = await client.uid("fetch", "1:*", "(FLAGS BODY.PEEK[])")  # first sync
    assert [bytes(line) for line in found.lines if isinstance(line, bytearray)] == [*map(message, (1, 2, 3))]
    assert len(wire.contents()) == 3
    found = await client.uid("fetch", "1:*", f"(FLAGS BODY.PEEK[]) (CHANGEDSINCE {modseq})")
    assert (found.result, len(found.lines)) == ("OK", 1), "second sync with nothing to do"
    assert len(wire.contents()) == 3

    acts = (
        client.uid("store", "1", "+FLAGS (\\Flagged)"),
        client.uid("move", "2", "Archive"),
        client.uid("store", "3", "+FLAGS.SILENT (\\Deleted)"),
        client.uid("expunge", "3"),
        client.append(message(5), "Drafts", "\\Draft"),
    )
    for act in acts:
        assert (await act).result == "OK"
    assert box.look() == {1: {"\\Flagged"}}
    assert (box.look("Archive"), box.look("Drafts")) == ({2: set()}, {5: {"\\Draft"}})

    idling = await client.idle_start(SECONDS)
    box.deliver(8)
    assert b"2 EXISTS" in await client.wait_server_push(SECONDS)
    client.idle_done()
    await asyncio.wait_for(idling, SECONDS)
