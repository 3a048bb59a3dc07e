"""What each profile offers, read from the context; the handshakes themselves are in tests/interop."""

import ssl
from dataclasses import replace
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization

from mailserver.model.errors import Malformed
from mailserver.tls.contexts import (
    PeerProfile,
    client_facing_context,
    peer_client_context,
    peer_server_context,
    web_client_context,
)

TLS_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}


def suites(context):
    return {cipher["name"] for cipher in context.get_ciphers()} - TLS_1_3


def all_contexts(files):
    return [
        client_facing_context(files.cert, files.key),
        peer_server_context(files),
        peer_client_context(files),
        web_client_context(files.ca),
    ]


def test_floor_of_every_profile(peer_files):
    for context in all_contexts(peer_files):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.maximum_version is ssl.TLSVersion.TLSv1_3
        for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_TICKET):
            assert context.options & option
        assert all(
            name.startswith("ECDHE-") and ("GCM" in name or "POLY1305" in name) for name in suites(context)
        )


def test_an_ordinary_server_is_checked(peer_files, tmp_path):
    for authority in (None, peer_files.ca):
        context = web_client_context(authority)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(Malformed):
        web_client_context(tmp_path / "absent.pem")


def test_suites_between_operators(peer_files):
    gcm = {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"}
    cbc = {"ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256"}
    for build in (peer_server_context, peer_client_context):
        assert suites(build(peer_files)) == gcm
        assert suites(build(peer_files, PeerProfile(is_cbc_allowed=True))) == gcm | cbc


def test_who_is_verified(peer_files):
    clients, server, caller, _ordinary = all_contexts(peer_files)
    assert (clients.verify_mode, clients.num_tickets) == (ssl.CERT_NONE, 0)
    assert (server.verify_mode, server.num_tickets) == (ssl.CERT_OPTIONAL, 0)
    assert (caller.verify_mode, caller.check_hostname) == (ssl.CERT_REQUIRED, False)
    for context in (server, caller):
        assert len(context.get_ca_certs()) == 1
        assert not context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


@pytest.mark.parametrize("content", [None, b"", b"no pem"])
@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("cert", "tls-certificate"),
        ("key", "tls-certificate"),
        ("ca", "tls-authority"),
    ],
)
def test_files_that_cannot_be_used(peer_files, tmp_path, content, field, code):
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
    files = replace(peer_files, **{field: path})
    for build in (peer_server_context, peer_client_context):
        with pytest.raises(Malformed) as refusal:
            build(files)
        assert refusal.value.code == code


def test_authority_file_without_authority(peer_files):
    with pytest.raises(Malformed) as refusal:
        peer_server_context(replace(peer_files, ca=peer_files.cert))
    assert refusal.value.code == "tls-authority"


def test_encrypted_key_fails_instead_of_asking(peer_files, tmp_path):
    key = serialization.load_pem_private_key(peer_files.key.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(Malformed) as refusal:
        client_facing_context(peer_files.cert, locked)
    assert refusal.value.code == "tls-certificate"


def test_any_purpose_leaves_the_rest_as_it_was(peer_files):
    strict = peer_server_context(peer_files)
    lax = peer_server_context(peer_files, PeerProfile(does_server_usage_suffice=True))
    for name in ("num_tickets", "verify_mode", "verify_flags", "options", "minimum_version"):
        assert getattr(lax, name) == getattr(strict, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("version_info", (3, 99, 0)), ("implementation", SimpleNamespace(name="pypy"))],
)
def test_any_purpose_is_refused_on_a_python_that_is_not_known(peer_files, monkeypatch, name, value):
    monkeypatch.setattr(f"mailserver.tls.purpose.sys.{name}", value)
    with pytest.raises(Malformed, match="tls-purpose"):
        peer_server_context(peer_files, PeerProfile(does_server_usage_suffice=True))
