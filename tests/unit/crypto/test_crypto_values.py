"""Secrets, contexts, derived keys, wraps, seals, roots, sessions and log signatures."""

import copy
import hashlib
import hmac
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mailserver.crypto.ctx import Raw, ctx
from mailserver.crypto.hkdf import derive, mac, row_mac, verify_mac
from mailserver.crypto.hybrid import HybridMissing, demand_hybrid
from mailserver.crypto.log_keys import LogSigningKeys, format_log_keys, parse_log_keys, verify_log_signatures
from mailserver.crypto.roots import AccountKeys, Root, verify_statement
from mailserver.crypto.seal import PUBLIC_BYTES, SEAL_OVERHEAD_BYTES, KeyPair, PublicKey
from mailserver.crypto.secret import Secret, random_id, random_secret
from mailserver.crypto.sessions import open_session, seal_session
from mailserver.crypto.wrap import OVERHEAD_BYTES, Wrapper, unwrap, wrap
from mailserver.model.errors import Corrupt, Denied, Malformed, Unavailable

KEY = Secret(bytes(range(32)))
OTHER_KEY = Secret(bytes(32))
ACCOUNT = b"\x11" * 16
SESSION = b"\x22" * 16
EXPIRY = datetime(2030, 1, 1, tzinfo=UTC)


class TestSecret:
    def test_shows_nothing(self):
        assert repr(KEY) == str(KEY) == f"{KEY}" == "Secret(…)"

    @pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, hash, bytes, list])
    def test_does_not_travel(self, leak):
        with pytest.raises(TypeError):
            leak(KEY)

    def test_equality(self):
        assert Secret(b"a") == Secret(bytearray(b"a"))
        assert Secret(b"a") != Secret(b"b")
        assert Secret(b"a") != b"a"

    def test_random(self):
        assert len(random_secret().reveal()) == 32
        assert len(random_secret(7).reveal()) == 7
        assert random_secret() != random_secret()
        assert len(random_id()) == 16


class TestHybrid:
    @pytest.mark.parametrize("module", ["hpke", "asymmetric.mldsa", "asymmetric.mlkem"])
    def test_missing_hybrid_stops_the_server_in_words(self, monkeypatch, module):
        monkeypatch.setitem(sys.modules, f"cryptography.hazmat.primitives.{module}", None)
        with pytest.raises(HybridMissing, match="install cryptography 50") as caught:
            demand_hybrid()
        assert isinstance(caught.value, RuntimeError)
        assert isinstance(caught.value, Unavailable)
        assert caught.value.code == "hybrid-missing"

    def test_import_of_the_package_asks(self):
        code = (
            "import sys; sys.modules['cryptography.hazmat.primitives.hpke'] = None\n"
            "try:\n    import mailserver.crypto\nexcept RuntimeError as error:\n    print(error.code)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "hybrid-missing"


class TestCtx:
    @pytest.mark.parametrize(
        ("label", "fields"),
        [
            ("", ()),
            ("é", ()),
            ("a\0b", ()),
            ("a", (b"short",)),
            ("a", (b"",)),
            ("a", (-1,)),
            ("a", (2**64,)),
            ("a", ("\ud800",)),
        ],
    )
    def test_refuses(self, label, fields):
        with pytest.raises(ValueError):
            ctx(label, *fields)

    def test_raw_and_text_of_the_same_bytes_share_a_form_but_never_a_label(self):
        assert ctx("a", Raw(b"x")) == ctx("a", "x")
        assert ctx("a", Raw(b"x")) != ctx("b", "x")


class TestDerived:
    def test_derive_is_hkdf(self):
        extracted = hmac.digest(bytes(32), KEY.reveal(), "sha256")
        expected = hmac.digest(extracted, b"pli/1/summary\0\x01", "sha256")
        assert derive(KEY, "summary").reveal() == expected
        assert len(derive(KEY, "summary", length=64).reveal()) == 64

    def test_mac(self):
        assert mac(KEY, "place", ACCOUNT) == hmac.digest(KEY.reveal(), ctx("place", ACCOUNT), "sha256")
        assert verify_mac(b"a", b"a")
        assert not verify_mac(b"a", b"b")

    def test_row_mac_takes_true_for_one(self):
        assert row_mac(KEY, "t", [True]) == row_mac(KEY, "t", [1])
        with pytest.raises(OverflowError):
            row_mac(KEY, "t", [2**63])


class TestWrap:
    def test_form(self):
        wrapped = wrap(KEY, b"data", b"aad")
        assert len(wrapped) == 4 + OVERHEAD_BYTES
        assert unwrap(KEY, wrapped, b"aad") == b"data"
        assert wrapped != wrap(KEY, b"data", b"aad")

    @pytest.mark.parametrize(
        ("key", "aad", "cut"),
        [(OTHER_KEY, b"aad", 99), (KEY, b"other", 99), (KEY, b"aad", 20), (KEY, b"aad", 3), (KEY, b"aad", 0)],
    )
    def test_refuses(self, key, aad, cut):
        with pytest.raises(Corrupt) as caught:
            unwrap(key, wrap(KEY, b"data", b"aad")[:cut], aad)
        assert caught.value.code == "unwrap"

    @pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
    def test_key_size(self, size):
        with pytest.raises(ValueError):
            Wrapper(Secret(bytes(size)))


class TestSeal:
    def test_sizes(self):
        pair = KeyPair.from_seed(KEY)
        sealed = PublicKey(pair.public).seal(bytes(32), b"info")
        assert len(pair.public) == PUBLIC_BYTES == 1216
        assert len(sealed) == 1168 == 32 + SEAL_OVERHEAD_BYTES
        assert pair.open(sealed, b"info") == bytes(32)
        assert PublicKey(pair.public).raw == pair.public

    @pytest.mark.parametrize("cut", [0, 100, 1120, 1167])
    def test_refuses_cut(self, cut):
        pair = KeyPair.from_seed(KEY)
        sealed = PublicKey(pair.public).seal(bytes(32), b"info")
        with pytest.raises(Corrupt) as caught:
            pair.open(sealed[:cut], b"info")
        assert caught.value.code == "unseal"

    @pytest.mark.parametrize("raw", [b"", bytes(1215), b"\xff" * 1216])
    def test_refuses_a_public_key(self, raw):
        with pytest.raises(Malformed) as caught:
            PublicKey(raw)
        assert caught.value.code == "public-key"

    def test_refuses_a_low_order_key(self):
        low = PublicKey(KeyPair.from_seed(KEY).public[:1184] + bytes(32))
        with pytest.raises(Malformed) as caught:
            low.seal(b"", b"")
        assert caught.value.code == "public-key"

    def test_seed_size(self):
        with pytest.raises(ValueError):
            KeyPair.from_seed(Secret(bytes(31)))


class TestRoots:
    def test_separate(self):
        keys = AccountKeys(KEY)
        secrets = [keys.amk, keys.mail.secret, keys.space.secret]
        secrets += [root.wrapping_key(epoch) for root in (keys.mail, keys.space) for epoch in (1, 2)]
        assert len({secret.reveal() for secret in secrets}) == len(secrets)
        assert keys.mail.pair(1) is keys.mail.pair(1)
        publics = {root.pair(epoch).public for root in (keys.mail, keys.space) for epoch in (1, 2)}
        assert len(publics) == 4
        assert Root(keys.mail.secret).pair(1).public == keys.mail.pair(1).public

    @pytest.mark.parametrize("make", [AccountKeys, Root])
    def test_size(self, make):
        with pytest.raises(ValueError):
            make(Secret(bytes(16)))

    def test_statement(self):
        keys = AccountKeys(KEY)
        signature = keys.signing.sign(b"statement")
        assert verify_statement(keys.signing.public, signature, b"statement")
        assert not verify_statement(keys.signing.public, signature, b"Statement")
        assert not verify_statement(AccountKeys(OTHER_KEY).signing.public, signature, b"statement")
        assert not verify_statement(b"short", signature, b"statement")
        assert not verify_statement(keys.signing.public, b"short", b"statement")


class TestSessions:
    def seal(self):
        return seal_session(KEY, OTHER_KEY, ACCOUNT, SESSION, EXPIRY, "totp", b"roots")

    def test_opens_whatever_the_zone_of_the_clock(self):
        expiry = EXPIRY.astimezone(tz=None)
        assert open_session(KEY, OTHER_KEY, ACCOUNT, SESSION, expiry, "totp", self.seal()) == b"roots"

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (0, OTHER_KEY),
            (1, KEY),
            (2, SESSION),
            (3, ACCOUNT),
            (4, EXPIRY + timedelta(seconds=1)),
            (5, "password"),
            (6, b""),
        ],
    )
    def test_refuses(self, place, value):
        arguments = [KEY, OTHER_KEY, ACCOUNT, SESSION, EXPIRY, "totp", self.seal()]
        arguments[place] = value
        with pytest.raises(Denied) as caught:
            open_session(*arguments)
        assert caught.value.code == "session"

    @pytest.mark.parametrize(
        ("secret", "hour", "expiry"),
        [
            (Secret(bytes(31)), KEY, EXPIRY),
            (KEY, Secret(bytes(33)), EXPIRY),
            (KEY, KEY, datetime(2030, 1, 1)),
        ],
    )
    def test_demands_whole_arguments(self, secret, hour, expiry):
        with pytest.raises(ValueError):
            seal_session(secret, hour, ACCOUNT, SESSION, expiry, "totp", b"")


class TestLogKeys:
    def test_both_signatures_are_demanded(self):
        keys = LogSigningKeys(KEY, OTHER_KEY)
        other = LogSigningKeys(OTHER_KEY, KEY)
        good = keys.sign(b"head")
        bad = other.sign(b"head")
        assert verify_log_signatures(keys.publics, b"head", good)
        assert not verify_log_signatures(keys.publics, b"tail", good)
        assert not verify_log_signatures(keys.publics, b"head", (good[0], bad[1]))
        assert not verify_log_signatures(keys.publics, b"head", (bad[0], good[1]))
        assert not verify_log_signatures(keys.publics, b"head", (good[0], b""))
        assert not verify_log_signatures((keys.publics[0], b"short"), b"head", good)

    def test_stored_as_seeds(self):
        keys = LogSigningKeys(KEY, OTHER_KEY)
        assert format_log_keys(keys).reveal() == KEY.reveal() + OTHER_KEY.reveal()
        assert parse_log_keys(format_log_keys(keys)).publics == keys.publics
        with pytest.raises(Malformed) as caught:
            parse_log_keys(Secret(bytes(63)))
        assert caught.value.code == "log-keys"

    def test_publics_have_the_standard_sizes(self):
        assert [len(public) for public in LogSigningKeys(KEY, KEY).publics] == [32, 1312]
        assert hashlib.sha256(b"").digest() != KEY.reveal()
