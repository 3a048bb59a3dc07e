"""Dialogues with a server that takes access tokens, each with an account of its own."""

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.imap_harness import RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Transcript
from harness.tokens import (
    AUDIENCE,
    CLAIM,
    ISSUER,
    OTHER_RPPS,
    RPPS,
    claims,
    jwk_set,
    oauthbearer,
    token,
    xoauth2,
)

from mailserver.crypto.custodian_logins import LoginKind, token_subject
from mailserver.crypto.tokens import JwtCheck, KeySource, TokenPolicy
from mailserver.model.address import parse_address
from mailserver.service.mail_logins import LoginPolicy
from mailserver.service.sasl import Mechanism, TokenAdvice, format_token_refusal

FILES = sorted((Path(__file__).parent / "imap_logins").glob("*.txt"))
ADVICE = TokenAdvice("openid")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    check = JwtCheck(
        TokenPolicy(ISSUER, frozenset({AUDIENCE}), CLAIM, timedelta(minutes=5)), KeySource(jwk_set)
    )
    policy = LoginPolicy(takes_tokens=True, advice=ADVICE)
    node = make_node(tmp_path_factory.mktemp("node"), tokens=check, policy=policy)
    with running_imap(node, tls) as server:
        yield server
    node.close()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, running: RunningImap, tls: TlsFiles) -> None:
    account = running.node.add(path.stem)
    address = parse_address(account.address)
    running.node.bindings.bind(address, LoginKind.TOKEN, token_subject(ISSUER, RPPS), datetime.now(UTC))
    good, bad = token(), token(claims(**{CLAIM: OTHER_RPPS}))
    octets = {
        "bearer": oauthbearer(account.address, good),
        "refused_bearer": oauthbearer(account.address, bad),
        "refusal": format_token_refusal(Mechanism.OAUTHBEARER, ADVICE),
        "google": xoauth2(account.address, good),
        "refused_google": xoauth2(account.address, bad),
        "google_refusal": format_token_refusal(Mechanism.XOAUTH2, ADVICE),
    }
    holes = {name: b64encode(each).decode() for name, each in octets.items()}
    Transcript(running, tls, path.stem, account, holes=holes).play(path)
