"""The custodian's verbs for logins: what is released, to whom, what the journal says, and what a worker may not ask."""

import socket
import threading
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from harness.tokens import AUDIENCE, CLAIM, ISSUER, OTHER_RPPS, RPPS, claims, jwk_set, token

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.crypto.ctx import ctx
from mailserver.crypto.custodian import JOURNAL_NAME, LOGINS_NAME, Custodian
from mailserver.crypto.custodian_channel import CustodianClient, CustodianServer
from mailserver.crypto.custodian_journal import parse_journal_line
from mailserver.crypto.custodian_logins import (
    LoginKind,
    Proof,
    ProofKind,
    certificate_name,
    certificate_subjects,
    token_subject,
)
from mailserver.crypto.custodian_rates import LINES, LINES_SECONDS, MAIL_LIMIT
from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret
from mailserver.crypto.tokens import JwtCheck, KeySource, TokenPolicy
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound, OverLimit, Unavailable

ACCOUNT, OTHER = b"\x11" * 16, b"\x22" * 16
SESSION = KeyPair.from_seed(Secret(bytes(32)))
POLICY = TokenPolicy(ISSUER, frozenset({AUDIENCE}), CLAIM, timedelta(minutes=5))
SUBJECT = token_subject(ISSUER, RPPS)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), datetime.now(UTC), key_bits=2048)


@pytest.fixture(scope="module")
def certificate(authority):
    """Of an application, DER."""
    now = datetime.now(UTC)
    return der_from_pem(
        authority.issue_operator(
            "app.example", ["robot.example"], "LABO FICTIF", now=now, variant=Variant.CLIENT_ONLY
        ).cert_pem
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def custodian(folder):
    Custodian.create(folder).close()
    made = Custodian.open(folder, tokens=JwtCheck(POLICY, KeySource(jwk_set)))
    yield made
    made.close()


@pytest.fixture
def made(custodian):
    custodian.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    return custodian.provision(ACCOUNT)


def shown(raw: bytes) -> Proof:
    return Proof(ProofKind.TOKEN, raw)


def release(custodian, made, proof: Proof, account: bytes = ACCOUNT) -> bytes:
    return custodian.release_mail(account, made.custody_header, made.custody_body, SESSION.public, proof)


def lines(folder):
    return [parse_journal_line(raw) for raw in (folder / JOURNAL_NAME).read_bytes().splitlines(keepends=True)]


def test_the_mail_root_and_nothing_else(folder, custodian, made):
    raw = token()
    sealed = release(custodian, made, shown(raw))
    mail = SESSION.open(sealed, ctx("release-mail", ACCOUNT))
    amk = SESSION.open(
        custodian.release(ACCOUNT, made.custody_header, made.custody_body, SESSION.public, "test"),
        ctx("release", ACCOUNT),
    )
    assert AccountKeys(Secret(amk)).mail.secret.reveal() == mail != amk
    with pytest.raises(Corrupt):
        SESSION.open(sealed, ctx("release", ACCOUNT))
    (line,) = [each for each in lines(folder) if each.verb == "release-mail"]
    assert line.account == ACCOUNT.hex()
    assert line.basis.startswith("token ")
    journal = (folder / JOURNAL_NAME).read_bytes()
    assert RPPS.encode() not in journal
    assert raw[-40:] not in journal


def test_one_token_opens_several_connections_and_the_journal_tells(folder, custodian, made):
    raw, second = token(), token(alg="ES256")
    for each in (raw, raw, second):
        release(custodian, made, shown(each))
    bases = [line.basis for line in lines(folder) if line.verb == "release-mail"]
    assert bases[0] == bases[1] != bases[2]


REFUSED = {
    "a bad token": (lambda: token(claims(iss="https://evil.example")), ACCOUNT),
    "nonsense": (lambda: b"x", ACCOUNT),
    "another person": (lambda: token(claims(**{CLAIM: OTHER_RPPS})), ACCOUNT),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(folder, custodian, made, name):
    make, account = REFUSED[name]
    for ask in (
        lambda proof: release(custodian, made, proof, account),
        lambda proof: custodian.verify_login(account, proof),
    ):
        with pytest.raises(Denied):
            ask(shown(make()))
    assert not [each for each in lines(folder) if each.verb in {"release-mail", "login"}]


def test_another_accounts_slot(custodian, made):
    theirs = custodian.provision(OTHER)
    with pytest.raises(Denied) as caught:
        release(custodian, theirs, shown(token()))
    assert caught.value.code == "custody-slot"
    with pytest.raises(Denied) as caught:
        release(custodian, theirs, shown(token()), OTHER)
    assert caught.value.code == "login-unbound"


def test_while_the_log_is_late_nothing_is_released(custodian, made):
    custodian.mark_log(is_late=True)
    with pytest.raises(Unavailable) as caught:
        release(custodian, made, shown(token()))
    assert caught.value.code == "log-late"
    custodian.verify_login(ACCOUNT, shown(token()))  # no key leaves
    with pytest.raises(Denied):  # who may not know is not told
        release(custodian, made, shown(token(claims(**{CLAIM: OTHER_RPPS}))))
    custodian.mark_log(is_late=False, set_aside=[ACCOUNT])
    with pytest.raises(Unavailable):
        release(custodian, made, shown(token()))


def test_releases_are_counted_and_remembered(custodian, made, folder):
    proof = shown(token())
    for _each in range(3):
        release(custodian, made, proof)
    custodian._released["release-mail"]._limit = type(MAIL_LIMIT)(count=3)
    with pytest.raises(OverLimit):
        release(custodian, made, proof)
    custodian.release(ACCOUNT, made.custody_header, made.custody_body, SESSION.public, "counted apart")
    custodian.close()
    again = Custodian.open(folder)
    assert len(again._released["release-mail"]._times[ACCOUNT.hex()]) == 3
    again.close()
    custodian.__init__(*reopened(folder))


def reopened(folder):
    from mailserver.crypto.custodian import utc_now
    from mailserver.crypto.custodian_files import KeyFolder
    from mailserver.crypto.custodian_rates import RELEASE_LIMIT

    return KeyFolder(folder), utc_now, RELEASE_LIMIT


class Hand:
    """A clock moved by hand."""

    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now


def test_logins_without_end_are_a_few_lines_a_minute_and_a_count(folder, custodian, made, caplog):
    """The journal, and for refused ones the operator's log: a program in a loop fills neither."""
    caplog.set_level("INFO", "pli.custodian")
    custodian._now, proof = Hand(), shown(token())
    for _each in range(LINES + 25):
        custodian.verify_login(ACCOUNT, proof)
        with pytest.raises(Denied):
            custodian.verify_login(OTHER, proof)
    told = [(each.account, each.basis) for each in lines(folder) if each.verb == "login"]
    assert len(told) == LINES
    assert len(caplog.records) == LINES
    custodian._now.now += timedelta(seconds=LINES_SECONDS)
    custodian.verify_login(ACCOUNT, proof)
    with pytest.raises(Denied):
        custodian.verify_login(OTHER, proof)
    more, own = [(each.account, each.basis) for each in lines(folder) if each.verb == "login"][LINES:]
    assert more == (ACCOUNT.hex(), "25 more within a minute")
    assert own == told[0]
    last = [(each.message, each.code, vars(each).get("count")) for each in caplog.records[LINES:]]
    assert last == [
        ("more logins were refused", "login-unbound", 25),
        ("a login was refused", "login-unbound", None),
    ]
    assert RPPS not in caplog.text


def test_what_was_counted_is_told_at_the_end(folder):
    Custodian.create(folder).close()
    custodian = Custodian.open(folder, tokens=JwtCheck(POLICY, KeySource(jwk_set)))
    custodian.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    for _each in range(LINES + 1):
        custodian.verify_login(ACCOUNT, shown(token()))
    custodian.close()
    assert lines(folder)[-1].basis == "1 more within a minute"


def test_without_an_issuer_no_token_is_taken(tmp_path):
    custodian = Custodian.create(tmp_path / "keys")
    custodian.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    with pytest.raises(Denied) as caught:
        custodian.verify_login(ACCOUNT, shown(token()))
    assert caught.value.code == "token-off"
    custodian.close()


def test_bindings_are_kept_sealed_and_removed(folder, custodian):
    custodian.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    custodian.bind_login(OTHER, LoginKind.TOKEN, SUBJECT)
    assert RPPS.encode() not in (folder / LOGINS_NAME).read_bytes()
    assert [each.subject for each in custodian.list_logins(LoginKind.TOKEN, ACCOUNT)] == [SUBJECT]
    assert [each.account for each in custodian.list_logins(LoginKind.TOKEN)] == [ACCOUNT, OTHER]
    with pytest.raises(Conflict):
        custodian.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    custodian.unbind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    with pytest.raises(NotFound):
        custodian.unbind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    with pytest.raises(Denied):
        custodian.verify_login(ACCOUNT, shown(token()))
    custodian.verify_login(OTHER, shown(token()))
    assert (folder / LOGINS_NAME).stat().st_mode & 0o777 == 0o600
    assert [each.verb for each in lines(folder)][:4] == ["bind", "bind", "bind", "unbind"]


@pytest.mark.parametrize("subject", ["", "x" * 5000, "a\nb"])
def test_no_subject(custodian, subject):
    with pytest.raises(Malformed):
        custodian.bind_login(ACCOUNT, LoginKind.TOKEN, subject)


def test_a_row_moved_to_another_account_does_not_open(folder, custodian):
    custodian.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    custodian._logins._db.execute("UPDATE login SET account = ?", (OTHER,))
    with pytest.raises(Corrupt):
        custodian.list_logins(LoginKind.TOKEN, OTHER)


def test_a_damaged_file_of_bindings(folder, custodian):
    custodian.close()
    (folder / LOGINS_NAME).write_bytes(b"x" * 8192)
    with pytest.raises(Corrupt) as caught:
        Custodian.open(folder)
    assert caught.value.code == "login-bindings"
    (folder / LOGINS_NAME).unlink()
    custodian.__init__(*reopened(folder))
    assert custodian.list_logins(LoginKind.TOKEN) == []


# --- certificates ----------------------------------------------------------------------------------------------------


def test_a_certificate_on_the_mail_processs_word(folder, custodian, made, certificate):
    proof = Proof(ProofKind.CERTIFICATE, certificate)
    with pytest.raises(Denied):
        release(custodian, made, proof)
    custodian.bind_login(ACCOUNT, LoginKind.CERTIFICATE, certificate_facts(certificate).fingerprint_sha256)
    assert SESSION.open(release(custodian, made, proof), ctx("release-mail", ACCOUNT))
    assert lines(folder)[-1].basis.endswith("on the word of the mail process")
    assert custodian.find_certificate_accounts(certificate) == [ACCOUNT]


def test_by_name_a_renewed_certificate_opens_and_a_namesake_does_not(
    custodian, authority, certificate, tmp_path
):
    now = datetime.now(UTC)
    custodian.bind_login(
        ACCOUNT, LoginKind.CERTIFICATE_NAME, certificate_name(certificate_facts(certificate))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        stranger = DemoAuthority.create(tmp_path / "ca", now, name="AC ETRANGERE", key_bits=2048)
    for issuer, expected in ((authority, [ACCOUNT]), (stranger, [])):
        renewed = issuer.issue_operator("app.example", ["robot.example"], "LABO FICTIF", now=now).cert_pem
        assert custodian.find_certificate_accounts(der_from_pem(renewed)) == expected


@pytest.mark.parametrize("variant", [Variant.SERVER_ONLY, Variant.EXPIRED, Variant.NOT_YET_VALID])
def test_certificates_that_do_not_count(authority, variant):
    now = datetime.now(UTC)
    issued = authority.issue_operator("app.example", ["robot.example"], "LABO", now=now, variant=variant)
    with pytest.raises(Denied):
        certificate_subjects(der_from_pem(issued.cert_pem), now)
    with pytest.raises(Denied):
        certificate_subjects(b"no certificate", now)


# --- over the channel ------------------------------------------------------------------------------------------------


@pytest.fixture
def connect(custodian):
    clients = []

    def make(*, administrator: bool) -> CustodianClient:
        ours, theirs = socket.socketpair()
        serve = CustodianServer(custodian).serve_connection
        threading.Thread(
            target=serve, args=(theirs,), kwargs={"administrator": administrator}, daemon=True
        ).start()
        clients.append(CustodianClient(ours))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_a_worker_binds_nothing_and_lists_nothing(connect):
    worker = connect(administrator=False)
    for ask in (
        lambda: worker.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT),
        lambda: worker.unbind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT),
        lambda: worker.list_logins(LoginKind.TOKEN),
    ):
        with pytest.raises(Denied) as caught:
            ask()
        assert caught.value.code == "custodian-verb"


def test_the_verbs_over_the_channel(connect, custodian, certificate):
    administrator, worker = connect(administrator=True), connect(administrator=False)
    made = administrator.provision(ACCOUNT)
    fingerprint = certificate_facts(certificate).fingerprint_sha256
    administrator.bind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    administrator.bind_login(ACCOUNT, LoginKind.CERTIFICATE, fingerprint)
    administrator.bind_login(OTHER, LoginKind.CERTIFICATE, fingerprint)
    assert administrator.list_logins(LoginKind.TOKEN) == custodian.list_logins(LoginKind.TOKEN)
    assert [each.subject for each in administrator.list_logins(LoginKind.CERTIFICATE, OTHER)] == [fingerprint]
    assert SESSION.open(release(worker, made, shown(token())), ctx("release-mail", ACCOUNT))
    worker.verify_login(ACCOUNT, shown(token()))
    assert worker.find_certificate_accounts(certificate) == [ACCOUNT, OTHER]
    administrator.unbind_login(ACCOUNT, LoginKind.TOKEN, SUBJECT)
    with pytest.raises(Denied) as caught:
        worker.verify_login(ACCOUNT, shown(token()))
    assert caught.value.code == "login-unbound"
