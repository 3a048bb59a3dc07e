"""Every notice in both languages, scanned: no health, nobody's name, no link but the pages' own, nothing that logs in."""

import re
import string

import pytest

from mailserver.policy.wording import to_ascii
from mailserver.service.notice_texts import NOTICE_TEXTS, NoticeKind, format_mail_text, format_sms

VALUES = {"operator": "Pli sante.example", "url": "https://pli.sante.example", "code": "123456"}
HEALTH = re.compile(
    r"sant[ée]\b|m[ée]d|doct|docteur|h[ôo]pital|clini|patient|maladi|ordonnance|analyse|r[ée]sultat|document|health|medic|"
    r"hospital|illness|result|prescri|professional|professionnel|exp[ée]diteur|sender|objet|subject",
    re.IGNORECASE,
)
CODES = {NoticeKind.CODE, NoticeKind.CONTACT_CODE}
GSM = set(string.ascii_letters + string.digits + " .,:;!?'\"()/@+-*&%=<>\n" + "éèàùìòÉÇ")
"""Of GSM 03.38's letters what French needs; one other and an SMS holds 70 instead of 160."""


@pytest.fixture(params=list(NoticeKind))
def kind(request):
    return request.param


def all_texts(kind):
    return [*format_mail_text(kind, VALUES), format_sms(kind, VALUES)]


def test_every_kind_has_both_languages():
    assert set(NOTICE_TEXTS) == set(NoticeKind)
    for text in NOTICE_TEXTS.values():
        assert len({text.subject, text.french, text.english, text.sms}) == 4
        assert "/ " in text.sms


def test_no_health_and_nobody(kind):
    said = " ".join(all_texts(kind)).replace(VALUES["operator"], "").replace(VALUES["url"], "")
    assert HEALTH.findall(said) == []


def test_no_link_but_the_pages_own(kind):
    """No path and no query: nothing that logs in, nothing that tells which message."""
    for said in all_texts(kind):
        links = re.findall(r"\S*(?:://|www\.)\S*", said)
        assert set(links) <= {VALUES["url"]}


def test_only_codes_hold_a_code(kind):
    subject, text = format_mail_text(kind, VALUES)
    assert "123456" not in subject
    assert (text.count("123456") == 2) is (kind in CODES)
    assert ("123456" in format_sms(kind, VALUES)) is (kind in CODES)


def test_templates_take_nothing_else():
    for text in NOTICE_TEXTS.values():
        for template in (text.subject, text.french, text.english, text.sms):
            fields = {name for _text, name, _spec, _conversion in string.Formatter().parse(template) if name}
            assert fields <= set(VALUES)


def test_an_sms_is_one_sms(kind):
    said = format_sms(kind, VALUES)
    assert len(said) <= 160
    assert set(said) <= GSM, set(said) - GSM
    assert to_ascii(said)
