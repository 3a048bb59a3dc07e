"""Decisions over any facts: consistent, closed by default, never open without a usable list."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mailserver.crypto.x509 import parse_dn
from mailserver.model.account import AccountState
from mailserver.model.address import Address, parse_domain
from mailserver.policy.conversation import ConversationState, ReceivedFacts, receive_message
from mailserver.policy.mail_rules import (
    ContentFacts,
    RecipientFacts,
    SenderFacts,
    SubmissionFacts,
    decide_content,
    decide_recipient,
    decide_sender,
    decide_submission,
)
from mailserver.policy.patient_rules import PatientFacts, ReplyState, decide_patient, reply_state
from mailserver.policy.trust_list import TrustedDomain, TrustList

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DOMAINS = [parse_domain(f"{name}.demo.example") for name in "abc"]
NAMES = [parse_dn(f"CN={name}") for name in "xyz"]
domains, names = st.sampled_from(DOMAINS), st.sampled_from(NAMES)
addresses = st.builds(Address, st.sampled_from(["p", "q", "Q"]), domains)
lists = st.builds(
    TrustList,
    st.sampled_from([NOW, NOW - timedelta(hours=71), NOW - timedelta(hours=73)]),
    st.lists(st.builds(TrustedDomain, domains, names), max_size=5).map(tuple),
)


def is_usable(trusted):
    return bool(trusted.entries) and NOW - trusted.generated_at <= timedelta(hours=72)


@given(st.builds(SenderFacts, domains | st.none(), names), lists, st.frozensets(domains))
def test_sender_is_accepted_only_when_listed_for_the_name(facts, trusted, own):
    listed = {(entry.domain, entry.dn) for entry in trusted.entries}
    known = any(facts.peer_dn == dn and facts.domain in {None, domain} for domain, dn in listed)
    assert decide_sender(facts, trusted, own, NOW).accepted == (known and is_usable(trusted))


@given(
    st.builds(
        ContentFacts,
        st.lists(domains, max_size=2).map(tuple),
        names,
        st.booleans(),
        st.booleans(),
        st.integers(1, 3),
    ),
    lists,
)
def test_content_is_accepted_only_with_one_listed_author(facts, trusted):
    accepted = decide_content(facts, trusted, NOW).accepted
    is_author_listed = len(facts.from_domains) == 1 and trusted.is_listed_for(
        facts.from_domains[0], facts.peer_dn
    )
    is_sender_sound = not facts.is_null_sender or (facts.is_report and facts.recipient_count == 1)
    assert accepted == (is_usable(trusted) and is_author_listed and is_sender_sound)


@given(st.builds(RecipientFacts, domains, st.booleans(), st.sampled_from(AccountState) | st.none()), lists)
def test_recipient_from_a_peer_is_ours_and_active(facts, trusted):
    accepted = decide_recipient(facts, trusted, NOW).accepted
    assert accepted == (
        is_usable(trusted)
        and facts.is_ours
        and facts.account is AccountState.ACTIVE
        and trusted.is_listed(facts.domain)
    )


groups = st.lists(addresses, max_size=3).map(tuple)


@given(
    st.builds(
        SubmissionFacts,
        groups,
        addresses | st.none(),
        groups,
        st.lists(domains, max_size=3).map(tuple),
        st.booleans(),
    ),
    lists,
)
def test_submission_speaks_for_its_account_within_the_list(facts, trusted):
    if not decide_submission(facts, trusted, NOW).accepted:
        return
    owned = {address.key for address in facts.account_addresses}
    assert is_usable(trusted)
    assert [address.key in owned for address in facts.from_addresses] == [True]
    assert facts.envelope_sender is None or facts.envelope_sender.key in owned
    assert all(trusted.is_listed(domain) for domain in facts.recipient_domains)
    assert all(trusted.is_listed(address.domain) for address in facts.from_addresses)


received = st.builds(
    ReceivedFacts,
    st.sampled_from(["<1@a>", "<2@a>", "<3@a>"]),
    st.just(Address("p", DOMAINS[0])),
    st.sampled_from(["[FIN]", "Re: [FIN]", "Results"]),
    st.just(NOW),
    st.sampled_from([None, "FIN", "fin"]),
    addresses | st.none(),
)


@given(st.lists(received, max_size=6), lists, addresses, st.sampled_from([None, "<1@a>", "<2@a>"]))
def test_patient_reaches_only_the_contact_of_an_open_conversation(messages, trusted, recipient, answered):
    known = None
    for message in messages:
        known = receive_message(known, message, trusted)
    conversations = () if known is None else (known,)
    facts = PatientFacts(True, False, recipient, 1, conversations=conversations, answered=answered)
    accepted = decide_patient(facts).accepted
    if known is None:
        assert not accepted
        return
    last = messages[-1]
    assert known.reply_to is None or (
        trusted.is_listed(known.reply_to.domain) and known.reply_to == last.reply_to
    )
    if accepted:
        assert recipient.key == known.contact.key
        assert known.state is ConversationState.OPEN
        assert any(message.subject != "[FIN]" for message in messages)
        assert last.subject != "[FIN]"


@given(st.lists(received, max_size=6), lists, addresses, st.sampled_from([None, "<1@a>", "<2@a>"]))
def test_the_page_offers_what_the_rules_accept(messages, trusted, recipient, answered):
    known = None
    for message in messages:
        known = receive_message(known, message, trusted)
    conversations = () if known is None else (known,)
    answer, fresh = (
        decide_patient(PatientFacts(True, False, recipient, 1, conversations=conversations, answered=each))
        for each in (answered, None)
    )
    assert fresh.accepted or not answer.accepted, "what may be answered may be written to"
    state = reply_state(answer, fresh)
    assert (state is ReplyState.REPLY) == answer.accepted
    assert state is not ReplyState.NEW_MESSAGE or fresh.accepted
    assert reply_state(answer, fresh, 1) in {state, ReplyState.REPLY_TO_ALL}
    assert (reply_state(None, fresh) is ReplyState.NEW_MESSAGE) == fresh.accepted
    mixed = PatientFacts(True, True, recipient, 1, conversations=conversations, answered=answered)
    assert not decide_patient(mixed).accepted
