"""From for policy: one mailbox in its plainest form. What two readers could read differently is refused."""

import pytest

from mailserver.mime.header_writer import format_address_field
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.strict_address import parse_named_address
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed

RIGHT = [
    (b"att@b.localhost", "", "att@b.localhost"),
    (b"<att@b.localhost>", "", "att@b.localhost"),
    (b"Camille FICTIF <att@b.localhost>", "Camille FICTIF", "att@b.localhost"),
    (b"Dr. C. FICTIF<att@b.localhost>", "Dr. C. FICTIF", "att@b.localhost"),
    (b'"FICTIF, Camille (cabinet)" <att@b.localhost>', "FICTIF, Camille (cabinet)", "att@b.localhost"),
    (rb'"Camille \"Cam\" \\" <att@b.localhost>', 'Camille "Cam" \\', "att@b.localhost"),
    (b'"victim@c.example" <att@b.localhost>', "victim@c.example", "att@b.localhost"),
    (b'"" <att@b.localhost>', "", "att@b.localhost"),
    (b"=?utf-8?Q?L=C3=A9a?= FICTIVE <att@b.localhost>", "Léa FICTIVE", "att@b.localhost"),
    ("Léa FICTIVE <léa@b.localhost>".encode(), "Léa FICTIVE", "léa@b.localhost"),
    (b"  Camille\t FICTIF \t<Att@B.localhost>  ", "Camille\t FICTIF", "Att@b.localhost"),
    (b"L'Hopital/URGENCES+ <o'neil@b.localhost>", "L'Hopital/URGENCES+", "o'neil@b.localhost"),
]


@pytest.mark.parametrize(("value", "name", "address"), RIGHT)
def test_the_plain_forms(value: bytes, name: str, address: str) -> None:
    found = parse_named_address(value)
    assert (found.name, str(found.address)) == (name, address)
    assert "att" not in repr(found)


WRONG = [
    b"",
    b"   ",
    b"<victim@c.example> <att@b.localhost>",
    b"victim@c.example <att@b.localhost>",
    b"Dr V <victim@c.example>(<att@b.localhost>",
    b"Dr V <att@b.localhost",
    b"Dr V <victim@c.example> <att@b.localhost",
    b"<victim@c.example>, ",
    b"victim@c.example, att@b.localhost",
    b"G: att@b.localhost;",
    b"G:;",
    b"V <victim@c.example>; <att@b.localhost>",
    b"<victim@c.example;att@b.localhost>",
    b"att@b.localhost, :victim@c.example;",
    b"<victim@c.example,>att@b.localhost",
    b"vic tim@c.example <@victim.example:att@b.localhost>",
    b"<@c.example:att@b.localhost>",
    b"<victim@c.example@b.localhost>",
    b'<"att"@b.localhost>',
    b"<att@[127.0.0.1]>",
    b"att@b.localhost (victim@c.example)",
    b"(victim@c.example) att@b.localhost",
    b"< att@b.localhost>",
    b"att @b.localhost",
    b'"unterminated <att@b.localhost>',
    b'"a" <victim@c.example> "b" <att@b.localhost>',
    b'Camille "Cam" <att@b.localhost>',
    b"att@b.localhost <att@b.localhost>",
    b"att@b.localhost>",
    b"dup\xe9@b.localhost",
    b"Camill\xe9 <att@b.localhost>",
    b"\xc0\xbc <att@b.localhost>",
    b"a\x00b <att@b.localhost>",
    b"a\rb <att@b.localhost>",
    b'"a\x0bb" <att@b.localhost>',
    b"a\\ <att@b.localhost>",
    b"Camille",
    b"att@",
    b"@b.localhost",
    b"a" * 65 + b"@b.localhost",
    b"\xef\xbf\xbd@b.localhost\xff",
    b"x" * 3000 + b" <att@b.localhost>",
]


@pytest.mark.parametrize("value", WRONG)
def test_anything_else_is_refused(value: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        parse_named_address(value)
    assert refused.value.code in {"mailbox-syntax", "address-syntax", "domain-syntax"}


@pytest.mark.parametrize(
    "name", ["", "Dr Camille FICTIF", "Dr. C. (cabinet), ville", 'a "b" \\', "Léa ÉTÉ " * 30]
)
def test_what_we_write_is_read(name: str) -> None:
    address = parse_address("camille.fictif@b.localhost")
    value = HeaderBlock(format_address_field("From", [(name, address)])).find(b"from") or b""
    found = parse_named_address(value)
    assert (found.name, found.address) == (name.strip(), address)
