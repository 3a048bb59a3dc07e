"""Every sample mail over IMAP: back byte for byte, with a valid BODYSTRUCTURE whose every part is the part in the
bytes, raw and decoded.
"""

import binascii
import quopri
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.bodystructure import Leaf, check_envelope, leaves
from harness.imap_harness import make_node, make_tls, running_imap
from harness.imap_strict import StrictClient, Value

DATA = Path(__file__).parents[1] / "data"
SAMPLES = sorted([*(DATA / "mime").rglob("*.eml"), *(DATA / "xdm").glob("mail-*.eml")])
ASKED = "UID RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] BINARY.PEEK[] BINARY.SIZE[]"
TRANSPARENT = {"7bit", "8bit", "binary"}
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
Items = dict[bytes, Value]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictClient]:
    node, tls = make_node(tmp_path_factory.mktemp("node")), make_tls(tmp_path_factory.mktemp("tls"))
    account = node.add("doc")
    with running_imap(node, tls) as running:
        client = StrictClient(running.tls_port, tls.client, account)
        client.ask("SELECT Archive")
        yield client
        client.close()
    node.close()


def fetch(client: StrictClient, uid: int, items: str) -> Items:
    answer = client.ask(f"UID FETCH {uid} ({items})")
    assert answer.is_ok, answer.tagged
    ((_number, found),) = answer.fetches()
    return found


def test_the_samples_are_there() -> None:
    assert len(SAMPLES) == 34


@pytest.mark.parametrize("form", ["as it is", "with CRLF"])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_part_of_every_sample(client: StrictClient, path: Path, form: str) -> None:
    octets = path.read_bytes()
    if form == "with CRLF":
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    answer = client.append("Archive", octets)
    assert answer.is_ok
    uid = int(answer.tagged.split(b"]")[0].split()[-1])
    whole = fetch(client, uid, ASKED)
    assert whole[b"BODY[]"] == whole[b"BINARY[]"] == octets
    assert whole[b"BODY[HEADER]"] + whole[b"BODY[TEXT]"] == octets
    assert whole[b"RFC822.SIZE"] == whole[b"BINARY.SIZE[]"] == len(octets)
    check_envelope(whole[b"ENVELOPE"])
    told = leaves(whole[b"BODYSTRUCTURE"], has_extensions=True)
    assert told == leaves(whole[b"BODY"], has_extensions=False)
    assert told
    at = 0
    for leaf in told:
        at = check_part(client, uid, leaf, octets, at)


def check_part(client: StrictClient, uid: int, leaf: Leaf, octets: bytes, at: int) -> int:
    """The part is where it should be, in order; the place behind its header."""
    name = leaf.section.encode()
    found = fetch(client, uid, f"BODY.PEEK[{leaf.section}] BODY.PEEK[{leaf.section}.MIME]")
    head, body = found[b"BODY[%b.MIME]" % name], found[b"BODY[%b]" % name]
    place = octets.find(head + body, at)
    assert place >= 0, leaf
    assert len(body) == leaf.size_bytes
    if leaf.lines is not None:
        assert leaf.lines == len(
            body.splitlines()
            if b"\r" not in body.replace(b"\r\n", b"")
            else re.findall(rb"[^\n]*\n|[^\n]+", body)
        )
    inner = fetch(client, uid, f"BODY.PEEK[{leaf.section}.HEADER] BODY.PEEK[{leaf.section}.TEXT]")
    if leaf.is_message:
        assert inner[b"BODY[%b.HEADER]" % name] + inner[b"BODY[%b.TEXT]" % name] == body
    else:
        assert set(inner.values()) == {uid, None}
    for start, count in ((0, 1), (1, 10), (max(0, len(body) - 3), 100), (len(body), 5)):
        part = fetch(client, uid, f"BODY.PEEK[{leaf.section}]<{start}.{count}>")
        assert part[b"BODY[%b]<%d>" % (name, start)] == body[start : start + count]
    check_decoded(client, uid, leaf, body)
    return place + len(head)


def check_decoded(client: StrictClient, uid: int, leaf: Leaf, body: bytes) -> None:
    expected = decoded(leaf, body)
    items = f"BINARY.PEEK[{leaf.section}] BINARY.SIZE[{leaf.section}] BINARY.PEEK[{leaf.section}]<1.7>"
    if expected is None:
        assert client.ask(f"UID FETCH {uid} ({items})").tagged.startswith(b"NO [UNKNOWN-CTE] ")
        return
    found = fetch(client, uid, items)
    name = leaf.section.encode()
    assert found[b"BINARY[%b]" % name] == expected
    assert found[b"BINARY.SIZE[%b]" % name] == len(expected)
    assert found[b"BINARY[%b]<1>" % name] == expected[1:8]


def decoded(leaf: Leaf, body: bytes) -> bytes | None:
    """By other means than the server's; None for an encoding that nobody knows. Lines of text end in CRLF."""
    meant = octets_meant(leaf, body)
    if meant is None or not leaf.content_type.startswith("text/"):
        return meant
    *lines, last = meant.split(b"\n")
    return b"".join(line.removesuffix(b"\r") + b"\r\n" for line in lines) + last


def octets_meant(leaf: Leaf, body: bytes) -> bytes | None:
    if leaf.is_message or leaf.encoding in TRANSPARENT:
        return body
    if leaf.encoding == "base64":
        clean = NOT_BASE64.sub(b"", body.partition(b"=")[0])
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    if leaf.encoding == "quoted-printable":
        return quopri.decodestring(body)
    return None
