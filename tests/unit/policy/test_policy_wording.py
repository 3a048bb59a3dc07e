"""The table of replies: complete, well-formed SMTP, useful sentences, nothing private."""

import re

import pytest

from mailserver.audit.wording import Language
from mailserver.policy.decision import Reason
from mailserver.policy.wording import LINE_OCTETS, WORDINGS, format_reply, to_ascii, wording_for

LINE = re.compile(rb"([2-5]\d\d)([ -])([245]\.\d{1,3}\.\d{1,3}) ([ -~]+)")


def test_the_table_is_complete():
    assert set(WORDINGS) == set(Reason)


@pytest.mark.parametrize("first", Language)
@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("detail", ["", "certificate has expired", "é" * 50, "x" * 5000, "a\r\n250 ok"])
def test_replies_are_well_formed(reason, detail, first):
    reply = format_reply(wording_for(reason), first, detail)
    assert reply.endswith(b"\r\n")
    lines = reply.removesuffix(b"\r\n").split(b"\r\n")
    assert max(map(len, lines)) + 2 <= LINE_OCTETS
    wording = wording_for(reason)
    for number, line in enumerate(lines, 1):
        code, mark, enhanced, _ = LINE.fullmatch(line).groups()
        assert code == str(wording.code).encode()
        assert enhanced == wording.enhanced.encode()
        assert mark == (b" " if number == len(lines) else b"-")
    assert len(lines) >= 2


@pytest.mark.parametrize("reason", Reason)
def test_enhanced_code_agrees_with_the_code(reason):
    """RFC 3463 §2: the class is the first digit of the reply."""
    wording = wording_for(reason)
    assert wording.enhanced[0] == str(wording.code)[0]
    assert (wording.code < 400) == (reason is Reason.ACCEPTED)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.ACCEPTED])
def test_sentences_say_what_and_what_next(reason):
    wording = wording_for(reason)
    assert wording.english.isascii()
    assert "@" not in wording.english + wording.french
    for text in (wording.english, wording.french):
        assert len(re.findall(r"[.;]", text)) >= 2, "what happened, then what to do"
        assert text.endswith(".")
        assert len(text) < 200


def test_refusals_have_their_own_words():
    assert len({wording.english for wording in WORDINGS.values()}) == len(Reason)
    assert len({wording.french for wording in WORDINGS.values()}) == len(Reason)


@pytest.mark.parametrize(
    "reason",
    [
        Reason.TRUST_LIST_STALE,
        Reason.TRUST_LIST_EMPTY,
        Reason.REVOCATION_UNKNOWN,
        Reason.TOO_MANY_RECIPIENTS,
        Reason.ANTIVIRUS_AWAY,
    ],
)
def test_our_own_trouble_is_temporary(reason):
    assert wording_for(reason).is_temporary


def test_other_refusals_are_final():
    final = [reason for reason in Reason if not wording_for(reason).is_temporary]
    assert len(final) == len(Reason) - 5


THEIRS, AUTHORS, RECIPIENTS, OURS = "the caller's server", "the sender", "the recipient", "this server"
SIDES = {
    THEIRS: ("Your s", "Votre |votre "),
    AUTHORS: ("The sender's ", "de l’expéditeur"),
    RECIPIENTS: ("The recipient's ", "du destinataire"),
    OURS: ("This server|held here", "Ce serveur|détenue ici"),
}
RULES = [
    # what must be refused (docs and facts: an operator's duties), its reason, code, enhanced code, whose side is at fault
    ("the sender's domain is not listed", Reason.SENDER_DOMAIN_UNLISTED, 550, "5.1.8", AUTHORS),
    ("the recipient's domain is not listed", Reason.RECIPIENT_DOMAIN_UNLISTED, 550, "5.1.2", RECIPIENTS),
    ("no certificate", Reason.NO_CERTIFICATE, 530, "5.7.14", THEIRS),
    ("a certificate of another authority", Reason.CERTIFICATE_FOREIGN, 530, "5.7.8", THEIRS),
    ("an expired certificate", Reason.CERTIFICATE_EXPIRED, 530, "5.7.5", THEIRS),
    ("a revoked certificate", Reason.CERTIFICATE_REVOKED, 530, "5.7.13", THEIRS),
    ("a name not listed for the sender's domain", Reason.WRONG_DN, 550, "5.7.1", THEIRS),
    ("no STARTTLS", Reason.NO_TLS, 530, "5.7.10", THEIRS),
    ("TLS below 1.2, or a suite outside the table", Reason.WEAK_TLS, 530, "5.7.6", THEIRS),
    ("usages that do not fit", Reason.CERTIFICATE_USAGE, 530, "5.7.4", THEIRS),
    ("a weak or unfit key", Reason.CERTIFICATE_KEY, 530, "5.7.9", THEIRS),
    ("revocation that cannot be checked", Reason.REVOCATION_UNKNOWN, 454, "4.7.5", OURS),
    ("a list with a bad signature, or none", Reason.TRUST_LIST_EMPTY, 451, "4.3.5", OURS),
    ("a list that is too old", Reason.TRUST_LIST_STALE, 451, "4.3.0", OURS),
]


@pytest.mark.parametrize(("rule", "reason", "code", "enhanced", "side"), RULES)
def test_rules_of_the_trust_space_say_whose_side_is_at_fault(rule, reason, code, enhanced, side):
    wording = wording_for(reason)
    assert (wording.code, wording.enhanced) == (code, enhanced), rule
    english, french = SIDES[side]
    assert re.search(english, wording.english), rule
    assert re.search(french, wording.french), rule


def test_rules_of_the_trust_space_have_codes_of_their_own():
    assert len({enhanced for *_, enhanced, _side in RULES}) == len(RULES)


def test_detail_is_shown_first():
    first, *_ = format_reply(
        wording_for(Reason.CERTIFICATE_EXPIRED), Language.FRENCH, "certificate has expired"
    ).split(b"\r\n")
    assert first == b"530-5.7.5 (certificate has expired)"


def test_french_in_ascii():
    assert (
        to_ascii("L’adresse « œuvre » a été refusée – déjà…")
        == 'L\'adresse " oeuvre " a ete refusee - deja...'
    )
