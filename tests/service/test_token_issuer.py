"""The way to the issuer of tokens: one bounded HTTPS request with a private authority; keys, and questions about tokens."""

import base64
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.imap_harness import TlsFiles, make_tls
from harness.issuer_server import ACTIVE, Issuer, running_issuer
from harness.smtp_harness import log_lines
from harness.tokens import AUDIENCE, ISSUER, RPPS, claims, jwk_set, token

from mailserver.app import token_checks
from mailserver.app.token_checks import LIMITS, build_token_check
from mailserver.config import Config, ConfigError, load_config
from mailserver.config.oauth import OauthConfig, find_oauth_fault
from mailserver.model.errors import Denied, Unavailable
from mailserver.sync.https_fetch import FetchLimits

SECRET = "s+cret/é"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def issuer(tls: TlsFiles) -> Iterator[Issuer]:
    with running_issuer(tls.server) as running:
        yield running


def configured(tmp_path: Path, tls: TlsFiles, **oauth: str) -> Config:
    keys = {"issuer": ISSUER, "audiences": [AUDIENCE], "authority": str(tls.authority_pem), **oauth}
    lines = [
        f'{name} = "{value}"' if isinstance(value, str) else f'{name} = ["{value[0]}"]'
        for name, value in keys.items()
    ]
    path = tmp_path / "pli.toml"
    path.write_text('[operator]\ndomains = ["a.localhost"]\n[oauth]\n' + "\n".join(lines) + "\n")
    return load_config(path)


def now() -> datetime:
    return datetime.now(UTC)


def test_keys_by_https(issuer: Issuer, tls: TlsFiles, tmp_path: Path) -> None:
    check = build_token_check(configured(tmp_path, tls, jwks_url=issuer.url("/certs")))
    for alg in ("RS256", "PS256", "ES256"):
        assert check.check(token(alg=alg), now()).subject == RPPS
    assert [path for path, _secret, _body in issuer.asked] == ["/certs"], "fetched once"


def test_only_clients_of_the_setting(tls: TlsFiles, tmp_path: Path) -> None:
    (tmp_path / "issuer.jwks").write_bytes(jwk_set())
    config = configured(tmp_path, tls, jwks_file="issuer.jwks", clients=["mail-client"])
    check = build_token_check(config)
    assert check.check(token(claims(azp="mail-client")), now()).subject == RPPS
    with pytest.raises(Denied, match="token-client"):
        check.check(token(claims(azp="other")), now())
    with pytest.raises(Denied, match="token-audience"):
        check.check(token(claims(aud="mail-client", azp="mail-client")), now())


def test_keys_in_a_file(tls: TlsFiles, tmp_path: Path) -> None:
    check = build_token_check(configured(tmp_path, tls, jwks_file="issuer.jwks"))
    with log_lines() as log, pytest.raises(Unavailable):
        check.check(token(), now())
    assert "a file of [oauth] cannot be read" in log.text
    (tmp_path / "issuer.jwks").write_bytes(jwk_set())
    check = build_token_check(configured(tmp_path, tls, jwks_file="issuer.jwks"))
    assert check.check(token(), now()).subject == RPPS


def test_questions(issuer: Issuer, tls: TlsFiles, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    asked = {
        "introspection_url": issuer.url("/introspect"),
        "client_id": "pli:mail",
        "client_secret_file": "secret",
    }
    check = build_token_check(configured(tmp_path, tls, **asked))
    assert check.check(ACTIVE.encode(), now()).subject == RPPS
    with pytest.raises(Denied):
        check.check(b"another", now())
    path, secret, body = issuer.asked[0]
    assert path == "/introspect"
    assert base64.b64decode(secret.removeprefix("Basic ")) == b"pli%3Amail:s%2Bcret%2F%C3%A9"
    assert body == f"token={ACTIVE}&token_type_hint=access_token".encode()


def test_a_token_that_the_issuer_will_not_read_silences_nobody_else(
    issuer: Issuer, tls: TlsFiles, tmp_path: Path
) -> None:
    """RFC 7662 §2.2 says "inactive"; some say 400. A stranger's nonsense must not hold up everybody's logins."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    real = issuer.answer
    issuer.answer = lambda path, body: (400, b"{}") if b"token=nonsense" in body else real(path, body)
    asked = {
        "introspection_url": issuer.url("/introspect"),
        "client_id": "pli",
        "client_secret_file": "secret",
    }
    check = build_token_check(configured(tmp_path, tls, **asked))
    with pytest.raises(Denied, match="token-inactive"):
        check.check(b"nonsense", now())
    assert check.check(ACTIVE.encode(), now()).subject == RPPS


@pytest.mark.parametrize("status", [302, 401, 500])
def test_whatever_else_it_says(issuer: Issuer, tls: TlsFiles, tmp_path: Path, status: int) -> None:
    """No redirect is followed."""
    issuer.answer = lambda _path, _body: (status, jwk_set())
    check = build_token_check(configured(tmp_path, tls, jwks_url=issuer.url("/elsewhere")))
    with log_lines() as log, pytest.raises(Unavailable) as caught:
        check.check(token(), now())
    assert caught.value.code == "token-issuer"
    assert ("fetch-redirect" if status == 302 else "fetch-status") in log.text
    assert [path for path, _secret, _body in issuer.asked] == ["/elsewhere"]


def refuse(config: Config, code: str) -> None:
    """No token is judged, and the operator reads why."""
    with log_lines() as log, pytest.raises(Unavailable):
        build_token_check(config).check(token(), now())
    assert code in log.text


def test_another_authority_is_not_trusted(issuer: Issuer, tls: TlsFiles, tmp_path: Path) -> None:
    stranger = make_tls(tmp_path / "stranger")
    for authority in (str(stranger.authority_pem), ""):
        config = configured(tmp_path, tls, jwks_url=issuer.url("/certs"), authority=authority)
        refuse(config, "fetch-tls-authority")
    missing = configured(tmp_path, tls, jwks_url=issuer.url("/certs"), authority="missing.pem")
    refuse(missing, "web-authority")
    assert issuer.asked == []


def test_a_long_answer_is_cut(issuer: Issuer, tls: TlsFiles, tmp_path: Path) -> None:
    issuer.answer = lambda _path, _body: (200, b"x" * (LIMITS.octets + 1))
    refuse(configured(tmp_path, tls, jwks_url=issuer.url("/certs")), "fetch-length")


def test_a_slow_answer_is_not_awaited(
    issuer: Issuer, tls: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_checks, "LIMITS", FetchLimits(1000, 0.3))
    is_over = threading.Event()

    def wait(_path: str, _body: bytes) -> tuple[int, bytes]:
        is_over.wait(20)
        return 200, b""

    issuer.answer = wait
    begun = time.monotonic()
    refuse(configured(tmp_path, tls, jwks_url=issuer.url("/certs")), "fetch-timeout")
    assert time.monotonic() - begun < 2
    is_over.set()


def test_nobody_listens(tls: TlsFiles, tmp_path: Path) -> None:
    refuse(configured(tmp_path, tls, jwks_url="https://localhost:1/certs"), "fetch-connection")


def test_no_issuer_no_check(tmp_path: Path) -> None:
    path = tmp_path / "pli.toml"
    path.write_text('[operator]\ndomains = ["a.localhost"]\n')
    assert build_token_check(load_config(path)) is None


GOOD = OauthConfig(issuer=ISSUER, audiences=["a"], jwks_file="k")


@pytest.mark.parametrize(
    ("oauth", "word"),
    [
        (replace(GOOD, jwks_file=""), "one of"),
        (replace(GOOD, jwks_url="https://login.example/certs"), "one of"),
        (replace(GOOD, audiences=[]), "audiences"),
        (replace(GOOD, issuer=""), "needs issuer"),
        (replace(GOOD, jwks_file="", introspection_url="https://login.example/i"), "client_id"),
    ],
)
def test_what_does_not_fit_together(oauth: OauthConfig, word: str) -> None:
    assert word in str(find_oauth_fault(oauth))
    assert find_oauth_fault(GOOD) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("issuer", "http://login.example"), ("jwks_url", "file:///etc/keys"), ("claim", ""), ("scope", "a\nb")],
)
def test_what_no_key_may_be(tmp_path: Path, tls: TlsFiles, name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        configured(tmp_path, tls, **{"jwks_file": "k", name: value})
