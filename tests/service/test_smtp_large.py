"""Large mail on the wire: 30 MB handed in by SMTP, a small message at the other operator, a download that is cut and goes
on; and 100 MB in flat memory.
"""

import hashlib
import http.client
import os
import smtplib
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.large_mail import ORIGIN, find_note, large_message
from harness.smtp_harness import operator_context, running_smtp
from harness.web_node import make_peers
from harness.web_server import Client, running
from service.gateway_node import (
    SENDER,
    Gateway,
    Peer,
    Script,
    context_of,
    deliver,
    make_authority,
    make_gateway,
)

from mailserver.mime.trace import Hop
from mailserver.model.address import parse_address
from mailserver.service.correspondence import Destination
from mailserver.service.kept_fetching import SOMEBODY, KeptFetching
from mailserver.service.sendings import SubmittedEnvelope

MEBIBYTE = 1024 * 1024
DATA = os.urandom(MEBIBYTE) * 30
RECIPIENT = "noa.secret@b.localhost"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = make_gateway(tmp_path, make_authority(tmp_path))
    yield made
    made.close()


def test_thirty_megabytes_go_to_another_operator(gateway: Gateway, tmp_path: Path) -> None:
    password = gateway.node.add("pacs@a.localhost").app_password
    with running_smtp(gateway.node) as smtp:
        client = smtp.call_submissions()
        assert client.esmtp_features["size"] == "734003200"
        client.login("pacs@a.localhost", password)
        client.sendmail(
            "pacs@a.localhost", [RECIPIENT], large_message("wire", "pacs@a.localhost", [("irm.zip", DATA)])
        )
        client.quit()
    peer = Peer(Script(), context_of(tmp_path / "authority", "b.localhost"))
    gateway.clock.pass_by(minutes=1)
    deliver(gateway, peer)
    (message,) = peer.messages
    assert len(message) < 20_000
    note = find_note(message)
    assert note.files[0].digest == hashlib.sha256(DATA).digest()
    with running(gateway.node) as web:
        path = "/kept/" + note.url.rpartition("/")[2] + "/files/0"
        first = cut_download(web.port, path, note.code, 5 * MEBIBYTE)
        sent = {"Authorization": f"Bearer {note.code}", "Range": f"bytes={len(first)}-"}
        rest = Client(web.port).get(path, **sent)
    assert (rest.status, rest.headers["content-length"]) == (206, str(len(DATA) - len(first)))
    assert first + rest.body == DATA


def cut_download(port: int, path: str, code: str, octets: int) -> bytes:
    """What came before the line broke."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=Client.context(), timeout=30)
    with closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {code}"})
        return connection.getresponse().read(octets)


def test_another_operator_may_not_hand_in_as_much(tmp_path: Path) -> None:
    ours, peer = make_peers(tmp_path)
    ours.add("camille@a.localhost")
    with running_smtp(ours) as smtp:
        client = smtp.call_mx(operator_context(peer))
        assert client.esmtp_features["size"] == "26214400"
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail(
                "noa@b.localhost", ["camille@a.localhost"], large_message(1, "noa@b.localhost", [("a", DATA)])
            )
        assert refused.value.smtp_code == 552
        client.close()
    ours.close()
    peer.close()


def pieces(mebibytes: int) -> Iterator[bytes]:
    """A message with one file of ``mebibytes`` times the same mebibyte of base64, never held at once."""
    head, tail = large_message("flat", SENDER, [("irm.zip", b"x")]).split(b64encode(b"x"))
    line = b64encode(bytes(range(57))) + b"\r\n"
    block = line * (MEBIBYTE // len(line))
    yield head
    for _count in range(mebibytes):
        yield block
    yield tail


def test_a_hundred_megabytes_in_flat_memory(gateway: Gateway) -> None:
    services, now = gateway.services, datetime.now(UTC)
    sender = parse_address(SENDER)
    intake = services.submission.begin(Hop("poste", "127.0.0.1", "a.localhost", "ESMTPSA", "d"), sender, now)
    envelope = SubmittedEnvelope(sender, (Destination(parse_address(RECIPIENT), None),), ORIGIN)
    tracemalloc.start()
    try:
        with closing(intake):
            for piece in pieces(100):
                intake.write(piece)
            intake.finish()
            verdict = services.submission.accept(gateway.account, envelope, intake, now)
            for commit in verdict.commits:
                commit.result()
        peer_octets = next(iter(gateway_messages(gateway)))
        note, fetching = find_note(peer_octets), KeptFetching(services.store, services.config.web_url)
        opened = fetching.open_kept(fetching.find_kept_id(note), note.code, now)
        total = sum(map(len, fetching.fetch(opened, 0, SOMEBODY, ORIGIN, now)(0, 1 << 40)))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == note.files[0].size_bytes > 70 * MEBIBYTE
    assert peak < 8 * MEBIBYTE, "two blocks of the test's own, and slices"


def gateway_messages(gateway: Gateway) -> Iterator[bytes]:
    """What waits to leave, as it will."""
    queue = gateway.queue()
    for row in queue.lease(datetime.now(UTC), 10):
        outgoing = queue.open_message(row)
        yield outgoing.read(0, outgoing.size_bytes)
