"""What is remembered of fetches: when the next is due, what makes it conditional, and a file that says nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.model.errors import Unavailable
from mailserver.sync.fetch_record import FetchRecord, format_record, parse_record, wait_after
from mailserver.sync.https_fetch import NO_VALIDATORS, Validators

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
URL = "https://lists.example/list.xml"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SEEN = Validators('"one"')


@pytest.mark.parametrize(
    ("failures", "minutes"), [(0, 60), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (1000, 60)]
)
def test_back_off(failures, minutes):
    assert wait_after(failures, HOUR, 0.5) == minutes * MINUTE
    assert wait_after(failures, HOUR, 0.0) == minutes * MINUTE * 0.9
    assert wait_after(failures, HOUR, 1.0) == minutes * MINUTE * 1.1


def test_due():
    record = FetchRecord(URL)
    assert record.is_due(NOW, HOUR, 0.5)
    record = record.after_success(NOW, b"list", SEEN)
    assert not record.is_due(NOW + 59 * MINUTE, HOUR, 0.5)
    assert record.is_due(NOW + HOUR, HOUR, 0.5)
    assert not record.is_due(NOW + HOUR, HOUR, 1.0)
    assert record.is_due(NOW - MINUTE, HOUR, 0.5)  # the clock went back


def test_success_failure_success():
    record = FetchRecord(URL).after_success(NOW, b"list", SEEN)
    assert record.validators_for(b"list") == SEEN
    assert record.validators_for(b"another") == NO_VALIDATORS
    later = record.after_success(NOW + HOUR, None, Validators('"two"'))
    assert later.validators_for(b"list") == Validators('"two"')
    failed = later.after_failure(NOW + 2 * HOUR, Unavailable("fetch-name"))
    failed = failed.after_failure(NOW + 3 * HOUR, Unavailable("fetch-status", "500"))
    assert (failed.error, failed.failures, failed.fetched_at) == ("fetch-status", 2, NOW + HOUR)
    assert failed.validators_for(b"list") == NO_VALIDATORS
    again = failed.after_success(NOW + 4 * HOUR, b"list", SEEN)
    assert (again.error, again.failures, again.fetched_at) == ("", 0, NOW + 4 * HOUR)


times = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
texts = st.text(st.characters(codec="ascii"), max_size=20)
records = st.builds(
    FetchRecord,
    st.just(URL),
    times,
    times,
    texts,
    st.integers(0, 1000),
    texts,
    st.builds(Validators, texts, texts),
)


@given(records)
def test_what_is_written_is_read(record):
    assert parse_record(format_record(record), URL) == record


def test_another_address_has_no_record():
    record = FetchRecord(URL).after_success(NOW, b"list", SEEN)
    assert parse_record(format_record(record), URL + "2") == FetchRecord(URL + "2")


@given(
    st.binary(max_size=60)
    | st.sampled_from([b"{}", b"[]", b"null", b'{"url":"' + URL.encode() + b'"}', b"3"])
)
def test_a_file_that_says_nothing(octets):
    assert parse_record(octets, URL) == FetchRecord(URL)


def test_a_record_with_a_wrong_time():
    octets = format_record(FetchRecord(URL, NOW)).replace(b"2026-03-02T09:00:00+00:00", b"tomorrow")
    assert parse_record(octets, URL) == FetchRecord(URL)
