"""``pli serve`` with an issuer of tokens and an authority of certificates, and the clients that know how to use them:
curl, imapclient, imap-tools, aioimaplib, smtplib and imaplib.
"""

import asyncio
import imaplib
import json
import smtplib
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import aioimaplib
import pytest
from harness.imap_harness import TlsFiles, make_tls
from harness.issuer_server import Issuer, running_issuer
from harness.programs import run
from harness.tokens import AUDIENCE, CLAIM, ISSUER, OTHER_RPPS, RPPS, claims, oauthbearer, token, xoauth2
from imap_tools import MailBox
from imapclient import IMAPClient

from mailserver.cli.demo_stage import Operator, reserve_ports, run_pli
from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.crypto.custodian_logins import LoginKind, token_subject
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.service.administration import NewAccount
from mailserver.service.directory import Profile

ANN, ROBOT, PLAIN = "ann@a.localhost", "robot@a.localhost", "lou@a.localhost"
NOTE = b"From: <%b>\r\nTo: <%b>\r\nSubject: %b\r\n\r\nBonjour.\r\n"


class Stage:
    """The running operator, and the files of its people."""

    def __init__(self, operator: Operator, tls: TlsFiles, issuer: Issuer, robot: Path, password: str) -> None:
        self.operator, self.tls, self.issuer, self.robot, self.password = (
            operator,
            tls,
            issuer,
            robot,
            password,
        )

    @property
    def authority(self) -> Path:
        return self.operator.folder.parent / "authority" / "demo-ca.pem"

    def context(self, certificate: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority))
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context

    def port(self, service: str) -> int:
        return self.operator.port(service)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    tls = make_tls(folder / "issuer")
    (block,) = reserve_ports(1)
    plan = OperatorPlan(
        folder / "a", parse_domains(["a.localhost"]), block.base, folder / "authority", key_bits=2048
    )
    make_operator(plan, datetime.now(UTC))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        authority = DemoAuthority.open(folder / "authority")
    issued = authority.issue_operator(
        "app.example", ["robot.example"], "LABO", now=datetime.now(UTC), variant=Variant.CLIENT_ONLY
    )
    robot = folder / "robot.pem"
    robot.write_bytes(issued.key_pem + issued.cert_pem)
    operator = Operator("a", folder / "a", block)
    with ExitStack() as at_end:
        issuer = at_end.enter_context(running_issuer(tls.server))
        patch = at_end.enter_context(pytest.MonkeyPatch.context())
        settings = {
            "OAUTH_ISSUER": ISSUER,
            "OAUTH_AUDIENCES": AUDIENCE,
            "OAUTH_JWKS_URL": issuer.url("/certs"),
            "OAUTH_AUTHORITY": str(tls.authority_pem),
            "TLS_CLIENT_AUTHORITY": str(authority.certificate_path),
            "TLS_CLIENT_CRL": str(authority.crl_path),
        }
        for key, value in settings.items():
            patch.setenv(f"PLI_{key}", value)
        password = add_people(operator)
        at_end.callback(block.release)
        at_end.callback(operator.stop)
        operator.start()
        bind = ("account", "certificate", "-c", str(operator.config), "--address", ROBOT, "--add", str(robot))
        run_pli(*bind)  # while it serves
        yield Stage(operator, tls, issuer, robot, password)


def add_people(operator: Operator) -> str:
    """Somebody with tokens, an application, and somebody with an app password, which is returned."""
    now = datetime.now(UTC)
    with opened(operator.config) as pli:
        made = {
            address: pli.services.administration.add_account(
                NewAccount(kind, parse_address(address), Profile("X FICTIF")), now
            )
            for kind, address in ((AccountKind.PER, ANN), (AccountKind.APP, ROBOT), (AccountKind.PER, PLAIN))
        }
        pli.services.bindings.bind(parse_address(ANN), LoginKind.TOKEN, token_subject(ISSUER, RPPS), now)
    return str(made[PLAIN].app_password)


def text_of(access_token: bytes) -> str:
    return access_token.decode()


@pytest.fixture
def curl(stage: Stage, require_tool: Callable[[str], str], tmp_path: Path) -> Callable[..., bytes]:
    command = (
        require_tool("curl"),
        "--silent",
        "--show-error",
        "--ssl-reqd",
        "--cacert",
        str(stage.authority),
    )
    return lambda *words: run(*command, *words, cwd=tmp_path)


def test_curl(stage: Stage, curl: Callable[..., bytes], tmp_path: Path) -> None:
    note = tmp_path / "note.eml"
    note.write_bytes(NOTE % (ANN.encode(), ANN.encode(), b"curl"))
    with_token = ("--user", f"{ANN}:", "--oauth2-bearer", text_of(token()))
    sending = ("--mail-from", ANN, "--mail-rcpt", ANN, "--upload-file", str(note))
    for scheme, service in (("smtps", "submissions"), ("smtp", "submission")):
        curl(*with_token, f"{scheme}://localhost:{stage.port(service)}/poste", *sending)
    for scheme, service in (("imaps", "imaps"), ("imap", "imap")):
        url = f"{scheme}://localhost:{stage.port(service)}"
        assert b"Subject: curl" in curl(*with_token, f"{url}/INBOX;MAILINDEX=1")
        google = curl(*with_token, "--login-options", "AUTH=XOAUTH2", f"{url}/INBOX;MAILINDEX=1")
        assert b"Subject: curl" in google
    by_certificate = ("--user", f"{ROBOT}:", "--cert", str(stage.robot), "--login-options", "AUTH=EXTERNAL")
    assert b"LIST (\\Drafts" in curl(*by_certificate, f"imaps://localhost:{stage.port('imaps')}/")
    assert b"LIST (\\Drafts" in curl(
        "--user", f"{PLAIN}:{stage.password}", f"imaps://localhost:{stage.port('imaps')}/"
    )


def test_imapclient(stage: Stage) -> None:
    for name in ("oauth2_login", "oauthbearer_login"):
        with IMAPClient("localhost", stage.port("imaps"), ssl_context=stage.context()) as client:
            getattr(client, name)(ANN, text_of(token()))
            assert client.select_folder("INBOX")[b"UIDVALIDITY"]
            client.logout()


def test_imap_tools(stage: Stage) -> None:
    with MailBox("localhost", stage.port("imaps"), ssl_context=stage.context()) as mailbox:
        assert "INBOX" in {each.name for each in mailbox.xoauth2(ANN, text_of(token())).folder.list()}


def test_aioimaplib(stage: Stage) -> None:
    async def play() -> str:
        is_lost = asyncio.Event()
        client = aioimaplib.IMAP4(
            "localhost",
            stage.port("imaps"),
            ssl_context=stage.context(),
            conn_lost_cb=lambda _error: is_lost.set(),
        )
        await client.wait_hello_from_server()
        result = (await client.xoauth2(ANN, text_of(token()))).result
        await client.logout()
        await is_lost.wait()
        return str(result)

    assert asyncio.run(play()) == "OK"


def test_imaplib_and_the_refused(stage: Stage) -> None:
    """The standard library answers every challenge with the same function, as some clients do."""
    with imaplib.IMAP4_SSL("localhost", stage.port("imaps"), ssl_context=stage.context()) as client:
        theirs = token(claims(**{CLAIM: OTHER_RPPS}))
        for mechanism, form in (("OAUTHBEARER", oauthbearer), ("XOAUTH2", xoauth2)):
            challenges: list[bytes] = []

            def answer(challenge: bytes, form=form, challenges=challenges) -> bytes:
                challenges.append(challenge)
                return b"\x01" if challenge else form(ANN, theirs)

            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                client.authenticate(mechanism, answer)
            assert json.loads(challenges[1])["status"] in {"invalid_token", "401"}
        assert client.authenticate("OAUTHBEARER", lambda _challenge: oauthbearer(ANN, token()))[0] == "OK"
    with imaplib.IMAP4_SSL(
        "localhost", stage.port("imaps"), ssl_context=stage.context(stage.robot)
    ) as client:
        assert client.authenticate("EXTERNAL", lambda _challenge: b"")[0] == "OK"


def test_smtplib(stage: Stage) -> None:
    with smtplib.SMTP("localhost", stage.port("submission")) as client:
        client.starttls(context=stage.context())
        client.ehlo()
        assert "XOAUTH2" in client.esmtp_features["auth"]
        client.user, client.password = ANN, ""
        client.auth("XOAUTH2", lambda _challenge=None: xoauth2(ANN, token()).decode())
        client.sendmail(ANN, [PLAIN], NOTE % (ANN.encode(), PLAIN.encode(), b"smtplib"))
    with smtplib.SMTP_SSL(
        "localhost", stage.port("submissions"), context=stage.context(stage.robot)
    ) as client:
        client.ehlo()
        assert client.docmd("AUTH", "EXTERNAL =")[0] == 235
        client.sendmail(ROBOT, [PLAIN], NOTE % (ROBOT.encode(), PLAIN.encode(), b"robot"))


def test_what_the_operator_reads(stage: Stage) -> None:
    said = (stage.operator.folder / "serve.log").read_text()
    for private in ("@a.localhost", RPPS, token()[:60].decode()):
        assert private not in said
    assert run_pli("check", "-c", str(stage.operator.config))["problems"] == []
