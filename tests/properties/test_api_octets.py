"""Whatever a client sends to the API: only Malformed escapes, and what is taken is what was meant."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.api.credentials import parse_credentials
from mailserver.api.rates import BURST, SECONDS_EACH, RequestRates
from mailserver.api.sent_messages import _parse_limit, _parse_place, _parse_search
from mailserver.model.errors import Malformed, OverLimit

printable = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@given(
    st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: f"Basic {base64.b64encode(raw).decode()}")
)
def test_any_header(header: str) -> None:
    with contextlib.suppress(Malformed):
        parse_credentials(header)


@given(printable.filter(lambda text: ":" not in text), printable)
def test_credentials_come_back(login: str, secret: str) -> None:
    raw = base64.b64encode(f"{login}:{secret}".encode()).decode()
    for scheme in ("Basic", "basic", "BASIC"):
        found = parse_credentials(f"{scheme} {raw}")
        assert (found.login, found.secret) == (login, secret)
        assert repr(found) == "Credentials(…)"


@given(
    st.binary(max_size=200) | st.text(max_size=40).map(lambda text: json.dumps({"message_id": text}).encode())
)
def test_any_search(body: bytes) -> None:
    with contextlib.suppress(Malformed):
        found = _parse_search(body)
        assert found.startswith("<")
        found.encode()


@given(st.text(max_size=60))
def test_any_parameter(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert 1 <= _parse_limit(text) <= 100
    with contextlib.suppress(Malformed):
        at, sent_id = _parse_place(text) or (0, bytes(16))
        assert at >= 0 and len(sent_id) == 16


def test_a_burst_then_a_steady_rate() -> None:
    now = [1000.0]
    rates = RequestRates(lambda: now[0])
    for _turn in range(BURST):
        rates.count(b"one")
    for _turn in range(3):
        with pytest.raises(OverLimit, match="request-rate"):
            rates.count(b"one")
    rates.count(b"other")
    now[0] += SECONDS_EACH
    rates.count(b"one")
    with pytest.raises(OverLimit):
        rates.count(b"one")
    now[0] += BURST * SECONDS_EACH
    for _turn in range(BURST):
        rates.count(b"one")
