"""``pli account token-subject`` and ``pli account certificate``: what opens a mailbox beside app passwords."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.config import load_config
from mailserver.crypto.custodian_logins import LoginBinding, LoginKind, certificate_name, token_subject
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.model.address import parse_address
from mailserver.model.errors import Denied, Malformed
from mailserver.service.login_bindings import CERTIFICATE_KINDS

_CERTIFICATE_BYTES = 64 * 1024


def add_arguments(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    subject = acts.add_parser(
        "token-subject", help="the person whose access tokens open a mailbox ([oauth] in pli.toml)"
    )
    subject.set_defaults(call=_token_subject)
    certificate = acts.add_parser(
        "certificate", help="the certificates that open an application box (client_authority in [tls])"
    )
    certificate.set_defaults(call=_certificate)
    for parser, what in ((subject, "SUBJECT"), (certificate, "FILE")):
        add_config(parser)
        parser.add_argument("--address", required=True, metavar="A")
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(quiet_log=True)
        act = parser.add_mutually_exclusive_group(required=True)
        act.add_argument("--add", metavar=what, type=str)
        act.add_argument(
            "--remove", metavar=f"{what}|WORDS", type=str, help="by what was added, or as --list shows it"
        )
        act.add_argument("--list", action="store_true", help="what is bound")
    certificate.add_argument(
        "--by-name",
        action="store_true",
        help="every certificate of this name by the same authority, so that a renewed one opens too",
    )


def _token_subject(options: argparse.Namespace) -> int:
    """What is no longer configured can still be listed and removed: by the words that the list shows."""
    issuer = load_config(options.config).oauth.issuer
    if options.add and not issuer:
        raise Denied("oauth-off")
    subject = options.remove or ""
    if options.add or (subject and " " not in subject):
        subject = token_subject(issuer, options.add or subject)
    return _act(options, LoginKind.TOKEN, subject, (LoginKind.TOKEN,))


def _certificate(options: argparse.Namespace) -> int:
    kind = LoginKind.CERTIFICATE_NAME if options.by_name else LoginKind.CERTIFICATE
    if options.add and not load_config(options.config).tls.client_authority:
        raise Denied("certificates-off")
    subject = ""
    if options.remove and not Path(options.remove).is_file():  # as the list shows it, when the file is gone
        subject = options.remove
        kind = LoginKind.CERTIFICATE_NAME if "=" in subject else LoginKind.CERTIFICATE
    elif options.add or options.remove:
        subject = _subject_of(Path(options.add or options.remove), kind, is_new=bool(options.add))
    return _act(options, kind, subject, CERTIFICATE_KINDS)


def _subject_of(path: Path, kind: LoginKind, *, is_new: bool) -> str:
    """A certificate is PEM or DER. Raises Malformed("certificate-syntax"), ("certificate-usage"), ("certificate-over")."""
    with path.open("rb") as file:
        octets = file.read(_CERTIFICATE_BYTES)
    facts = certificate_facts(der_from_pem(octets) if b"-----BEGIN" in octets else octets)
    if is_new and not facts.has_client_auth:
        raise Malformed("certificate-usage")
    if is_new and datetime.now(UTC) > facts.not_after:
        raise Malformed("certificate-over")
    return facts.fingerprint_sha256 if kind is LoginKind.CERTIFICATE else certificate_name(facts)


def _act(options: argparse.Namespace, kind: LoginKind, subject: str, listed: Sequence[LoginKind]) -> int:
    address, now = parse_address(options.address), datetime.now(UTC)
    with private_files(), opened(options.config) as pli:
        acts = pli.services.bindings
        if options.list:
            return _show(acts.list_bound(address, listed, now), as_json=options.json)
        (acts.bind if options.add else acts.unbind)(address, kind, subject, now)
    state = "bound" if options.add else "removed"
    facts = {"address": str(address), "kind": kind.value, "subject": subject, "state": state}
    print(json.dumps(facts, ensure_ascii=False) if options.json else f"{address}: {subject} is {state}.")
    return 0


def _show(found: Sequence[LoginBinding], *, as_json: bool) -> int:
    facts = [
        {"kind": each.kind.value, "subject": each.subject, "made": each.made_at.isoformat()} for each in found
    ]
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    for fact in facts:
        print(f"{fact['kind']:16} {fact['subject']}")
    return 0
