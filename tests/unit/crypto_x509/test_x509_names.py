"""Distinguished names: what tools print, what must stay different, what is refused."""

import time

import pytest

from mailserver.crypto.x509 import DN_PAIRS, DistinguishedName, format_dn, parse_dn
from mailserver.model.errors import Malformed

FRENCH = "CN=mx.demo.example,OU=300000123456789,O=HÔPITAL DÉMO,ST=Hérault (34),C=FR"

SAME = {
    "spaces": "CN=mx.demo.example, OU=300000123456789, O=HÔPITAL DÉMO, ST=Hérault (34), C=FR",
    "spaces around equals": "CN = mx.demo.example, OU = 300000123456789, O = HÔPITAL  DÉMO, ST = Hérault (34), C = FR",
    "reverse": "C=FR, ST=Hérault (34), O=HÔPITAL DÉMO, OU=300000123456789, CN=mx.demo.example",
    "openssl oneline": "/C=FR/ST=Hérault (34)/O=HÔPITAL DÉMO/OU=300000123456789/CN=mx.demo.example",
    "lower-case types": "cn=mx.demo.example,ou=300000123456789,o=HÔPITAL DÉMO,s=Hérault (34),c=FR",
    "long types": "commonName=mx.demo.example,organizationalUnitName=300000123456789,organizationName=HÔPITAL DÉMO,"
    "stateOrProvinceName=Hérault (34),countryName=FR",
    "oids": "2.5.4.3=mx.demo.example,OID.2.5.4.11=300000123456789,2.5.4.10=HÔPITAL DÉMO,2.5.4.8=Hérault (34),2.5.4.6=FR",
    "hexadecimal": r"CN=mx.demo.example,OU=300000123456789,O=H\C3\94PITAL D\C3\89MO,ST=H\C3\A9rault (34),C=FR",
    "openssl hexadecimal": r"CN=mx.demo.example,OU=300000123456789,O=H\xC3\x94PITAL D\xC3\x89MO,ST=H\xC3\xA9rault (34),C=FR",
    "decomposed": "CN=mx.demo.example,OU=300000123456789,O=HO\u0302PITAL DE\u0301MO,ST=He\u0301rault (34),C=FR",
    "quoted": 'CN="mx.demo.example",OU=300000123456789,O="HÔPITAL DÉMO",ST=Hérault (34),C=FR',
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME.keys())
def test_same_name_whatever_the_tool(text):
    assert parse_dn(text) == parse_dn(FRENCH)
    assert hash(parse_dn(text)) == hash(parse_dn(FRENCH))
    assert format_dn(parse_dn(text)) == FRENCH


OTHER = {
    "case of a value": FRENCH.replace("mx.demo", "MX.demo"),
    "one more": FRENCH + ",DC=x",
    "one less": FRENCH.replace(",C=FR", ""),
    "two swapped": "OU=300000123456789,CN=mx.demo.example,O=HÔPITAL DÉMO,ST=Hérault (34),C=FR",
    "other type": FRENCH.replace("OU=", "O="),
    "no accent": FRENCH.replace("Ô", "O"),
}


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER.keys())
def test_another_name(text):
    assert parse_dn(text) != parse_dn(FRENCH)


@pytest.mark.parametrize(
    ("text", "organisation"),
    [
        ("CN=a,O=SITE A, SITE B,C=FR", "SITE A, SITE B"),
        (r"CN=a,O=SITE A\, SITE B,C=FR", "SITE A, SITE B"),
        ('CN=a,O="SITE A, C=XX",C=FR', "SITE A, C=XX"),
        (r"CN=a,O=x\, C=XX,C=FR", "x, C=XX"),
        ("CN=a,O=A+B,C=FR", "A+B"),
        ("/C=FR/O=A/B/CN=a", "A/B"),
        (r"CN=a,O=back\\slash,C=FR", "back\\slash"),
        (r"CN=a,O=\\C3,C=FR", r"\C3"),
        (r"CN=a,O=\5C\2C,C=FR", "\\,"),
        (r"CN=a,O=\#1,C=FR", "#1"),
        ("CN=a,O=x=y,C=FR", "x=y"),
        (r"CN=a,O=trailing\ ,C=FR", "trailing"),
    ],
)
def test_odd_values(text, organisation):
    dn = parse_dn(text)
    assert dn.find_value("organizationName") == organisation
    assert parse_dn(format_dn(dn)) == dn
    assert dn.common_name == "a"
    assert dn.find_value("L") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "dn-syntax"),
        ("CN", "dn-syntax"),
        ("=a", "dn-syntax"),
        ('CN="a"b', "dn-syntax"),
        ("CN=a\\", "dn-syntax"),
        ("CN=,O=b", "dn-empty-value"),
        ("CN=a+OU=b,O=c", "dn-multivalued"),
        ("CN=#0401,O=c", "dn-value"),
        (r"CN=\FF\FE", "dn-value"),
        (r"CN=a\00b", "dn-value"),
        (",".join(["CN=a"] * (DN_PAIRS + 1)), "dn-length"),
        ("CN=" + "a" * 5000, "dn-length"),
    ],
)
def test_refused(text, code):
    with pytest.raises(Malformed) as refusal:
        parse_dn(text)
    assert refusal.value.code == code


def test_a_name_has_pairs():
    with pytest.raises(Malformed) as refusal:
        DistinguishedName(())
    assert refusal.value.code == "dn-length"


@pytest.mark.parametrize("piece", [", ", ",a", "1.1", ",1.1.1", "\\,", '"', "+", " ", "=,"])
def test_hostile_text_is_quick(piece):
    text = ("CN=" + piece * 4096)[:4096]
    start = time.process_time()
    try:
        parse_dn(text)
    except Malformed:
        pass
    assert time.process_time() - start < 5
