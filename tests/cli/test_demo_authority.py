"""A demonstration authority that operators share: made once, by one of them at a time."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.config import load_config
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.crypto.xmldsig import PinnedSigner, verify_enveloped
from mailserver.policy.trust_list import parse_trust_list

PROGRAM = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
folder, domain, authority = sys.argv[1:]
sys.stdin.readline()
make_operator(OperatorPlan(Path(folder), parse_domains([domain]), authority=Path(authority), key_bits=2048), datetime.now(UTC))
"""
NAMES = ("a", "b", "c")


def test_operators_made_at_once(tmp_path: Path) -> None:
    authority = tmp_path / "authority"
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / name), f"{name}.localhost", str(authority)],
            stdin=subprocess.PIPE,
        )
        for name in NAMES
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.close()
    assert [maker.wait(60) for maker in makers] == [0, 0, 0]
    signer = certificate_facts(der_from_pem((authority / "signer.pem").read_bytes()))
    pinned = PinnedSigner(fingerprints=frozenset({signer.fingerprint_sha256}))
    listed = parse_trust_list(
        verify_enveloped((authority / "list.xml").read_bytes(), pinned, datetime.now(UTC))
    )
    assert {entry.domain.name for entry in listed.entries} == {f"{name}.localhost" for name in NAMES}
    for name in NAMES:
        certificate = tmp_path / name / "tls/operator.pem"
        checked = subprocess.run(
            ["openssl", "verify", "-CAfile", str(authority / "demo-ca.pem"), str(certificate)],
            capture_output=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stderr
        assert load_config(tmp_path / name / "pli.toml").trust.signers == [signer.fingerprint_sha256]


def test_a_demonstration_lasts_as_long_as_its_certificates(tmp_path: Path) -> None:
    now, authority = datetime.now(UTC), tmp_path / "authority"
    plan = OperatorPlan(tmp_path / "a", parse_domains(["a.localhost"]), authority=authority, key_bits=2048)
    config = load_config(make_operator(plan, now))
    later = now + timedelta(days=364)
    assert now + timedelta(hours=config.trust.stale_hours) > later
    crl = x509.load_pem_x509_crl((authority / "demo-ca.crl").read_bytes())
    assert crl.next_update_utc is not None
    assert crl.next_update_utc > later
    for certificate in (tmp_path / "a/tls/operator.pem", authority / "signer.pem"):
        assert certificate_facts(der_from_pem(certificate.read_bytes())).is_valid_at(later)
