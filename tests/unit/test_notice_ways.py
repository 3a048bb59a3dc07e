"""The relay as the configuration says: a secret is one line of a file, or nothing starts."""

import pytest

from mailserver.app.notice_ways import open_bounces, open_relay
from mailserver.config import load_config
from mailserver.model.errors import Malformed


def configured(folder, *keys: str):
    path = folder / "pli.toml"
    path.write_text('[operator]\ndomains = ["sante.example"]\n[relay]\n' + "\n".join(keys))
    return load_config(path, {})


@pytest.mark.parametrize("content", [None, b"", b"no key\n"])
def test_a_key_that_cannot_sign(tmp_path, content):
    keys = ['host = "relay.example"', 'dkim_key = "dkim.pem"', 'dkim_selector = "pli2026"']
    if content is not None:
        (tmp_path / "dkim.pem").write_bytes(content)
    with pytest.raises(Malformed) as refused:
        open_relay(configured(tmp_path, *keys))
    assert refused.value.code == "dkim-key"


def test_without_a_host_there_is_none(tmp_path):
    assert open_relay(configured(tmp_path)) is None
    assert open_relay(configured(tmp_path, 'host = "relay.example"')) is not None


@pytest.mark.parametrize("content", [None, b"", b"  \n", b"two\nlines\n", b"a\0b"])
def test_a_password_file_that_is_not_one_line(tmp_path, content):
    keys = ['host = "relay.example"', 'security = "tls"', 'user = "pli"', 'password_file = "secret"']
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Malformed) as refused:
        open_relay(configured(tmp_path, *keys))
    assert refused.value.code == "relay-password"
    (tmp_path / "secret").write_bytes(b"one line\n")
    assert open_relay(configured(tmp_path, *keys)) is not None


BOUNCES = ["[bounces]", 'host = "boites.example"', 'user = "pli"', 'password_file = "secret"']


@pytest.mark.parametrize("content", [None, b"", b"two\nlines\n"])
def test_the_mailbox_of_reports_needs_its_password(tmp_path, content):
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Malformed) as refused:
        open_bounces(configured(tmp_path, *BOUNCES))
    assert refused.value.code == "bounces-password"
    (tmp_path / "secret").write_bytes(b"one line\n")
    opened = open_bounces(configured(tmp_path, *BOUNCES))
    assert opened is not None
    assert "one line" not in repr(opened.access)
    assert open_bounces(configured(tmp_path)) is None


@pytest.mark.parametrize(
    ("more", "is_tagged"), [([], False), (BOUNCES, True), ([*BOUNCES, "subaddress = false"], False)]
)
def test_a_tag_only_where_reports_are_read(tmp_path, more, is_tagged):
    """A relay that takes one sender only must not lose notices to a habit."""
    relay = open_relay(configured(tmp_path, 'host = "relay.example"', 'sender = "pli@sante.example"', *more))
    assert relay is not None
    assert str(relay._return_path("abc")) == ("pli+abc@sante.example" if is_tagged else "pli@sante.example")
