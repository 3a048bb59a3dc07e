"""Next hops: fixed routes, the routes file read again, and the MX seam."""

import json
import os

import pytest

from mailserver.gateway.routes import Routes
from mailserver.model.address import DomainName
from mailserver.model.errors import Malformed
from mailserver.model.hop import NextHop, parse_hop

B = DomainName("b.example")


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("mx.b.example:25", NextHop("mx.b.example", 25, is_by_dns=True)),
        ("192.0.2.1:2525", NextHop("192.0.2.1", 2525)),
        ("[2001:db8::1]:25", NextHop("2001:db8::1", 25)),
    ],
)
def test_hops(text, hop):
    assert parse_hop(text) == hop
    assert parse_hop(text).is_by_dns is hop.is_by_dns


@pytest.mark.parametrize(
    "text", ["", "mx.b.example", ":25", "mx:", "mx:0", "mx:65536", "mx:-1", "mx:٢٥", "m x:25"]
)
def test_bad_hops(text):
    with pytest.raises(Malformed, match="route-syntax"):
        parse_hop(text)


def write(file, text, at):
    file.write_text(text)
    os.utime(file, (at, at))


def test_fixed_routes_win_over_the_file_and_the_file_over_mx(tmp_path):
    file = tmp_path / "routes.json"
    write(file, json.dumps({"b.example": "file:25", "c.example": "file:25"}), 1)
    routes = Routes({"b.example": "fixed:25"}, file, lambda _domain: (NextHop("mx", 25),))
    assert routes.list_hops(B) == (NextHop("fixed", 25),)
    assert routes.list_hops(DomainName("c.example")) == (NextHop("file", 25),)
    assert routes.list_hops(DomainName("d.example")) == (NextHop("mx", 25),)


def test_no_route_without_a_resolver():
    assert Routes({}).list_hops(B) == ()


def test_the_file_is_read_again_and_a_bad_one_changes_nothing(tmp_path, caplog):
    file = tmp_path / "routes.json"
    routes = Routes({}, file)
    assert routes.list_hops(B) == ()
    write(file, '{"b.example": "one:25"}', 1)
    assert routes.list_hops(B) == (NextHop("one", 25),)
    for at, bad in enumerate(("{", "[]", '{"b.example": "none"}'), 2):
        write(file, bad, at)
        assert routes.list_hops(B) == (NextHop("one", 25),)
    write(file, '{"b.example": "two:25"}', 9)
    assert routes.list_hops(B) == (NextHop("two", 25),)
    assert "last good routes are kept" in caplog.text
