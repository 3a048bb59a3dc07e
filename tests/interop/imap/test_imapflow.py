"""imapflow, the IMAP client of many Node.js services: it switches on all it knows and is offered."""

from collections.abc import Callable

from harness.client_box import Box
from harness.imap_transcript import message
from harness.imapflow import ImapFlow


def test_imapflow(make_imapflow: Callable[[], ImapFlow], make_account: Callable[[str], Box]) -> None:
    box = make_account("imapflow")
    box.deliver(1, 2, 3)
    with make_imapflow() as client, box.wire() as wire:
        opened = client.open(box.port, box.address, box.password, box.authority)
        assert opened["exists"] == 3
        assert "QRESYNC" in opened["enabled"]
        found = client.ask("sync")  # first sync
        assert [each["source"].encode() for each in found] == [message(1), message(2), message(3)]
        assert len(wire.contents()) == 3

        client.ask("close")
        opened = client.open(box.port, box.address, box.password, box.authority)
        assert client.ask("sync", since=opened["modseq"]) == []  # second sync with nothing to do
        assert len(wire.contents()) == 3

        assert client.ask("flag", uid=1) is True
        assert client.ask("move", uid=2, target="Archive") == 1
        assert client.ask("delete", uid=3) is True
        assert client.ask("append", target="Drafts", source=message(5).decode()) == 1
        assert box.look() == {1: {"\\Flagged"}}
        assert (box.look("Archive"), box.look("Drafts")) == ({2: set()}, {5: {"\\Draft"}})

        changed = client.ask("sync", since=opened["modseq"])
        assert [(each["uid"], each["flags"]) for each in changed] == [(1, ["\\Flagged"])]

        with box.wire() as later:
            client.ask("idle")
            later.wait_for_idle()
            box.deliver(6)
            client.wait_for_event("exists", count=2)
        client.ask("close")
