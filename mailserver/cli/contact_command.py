"""``pli account contact``: where a person gets codes and notices, for who can no longer change it on the web.

Addresses are given on standard input, never as arguments, which everybody on the machine can read, and shown masked.
"""

import argparse
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime

from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed
from mailserver.model.phone import parse_phone
from mailserver.service.directory import Profile
from mailserver.service.notices import Contact, Way

_FIELDS = frozenset({"contact_email", "contact_phone"})


def add_arguments(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's command."""
    parser = acts.add_parser(
        "contact", help="where codes and notices of one account go, and whether it works"
    )
    add_config(parser)
    parser.add_argument("--address", required=True, metavar="A")
    parser.add_argument(
        "--fields-stdin",
        action="store_true",
        help="change it: one JSON object on standard input with contact_email, contact_phone or both; empty removes",
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(call=_contact, quiet_log=True)


def _contact(options: argparse.Namespace) -> int:
    address = parse_address(options.address)
    given = _read_fields() if options.fields_stdin else {}

    def change(profile: Profile) -> Profile:
        email = given.get("contact_email", profile.contact_email)
        phone = given.get("contact_phone", profile.contact_phone)
        is_same = email == profile.contact_email
        prefers_sms = profile.prefers_sms and bool(phone)
        return replace(
            profile,
            contact_email=email,
            contact_phone=phone,
            is_email_dead=profile.is_email_dead and is_same,
            is_email_returned=profile.is_email_returned and is_same,
            prefers_sms=prefers_sms,
        )

    with private_files(), opened(options.config) as pli:
        administration = pli.services.administration
        if given:
            pli.services.notices.demand_prefix(given.get("contact_phone", ""))
            profile = administration.mark_contact(address, change, pli.services.notices, datetime.now(UTC))
        else:
            profile = administration.load_contact(address)
    _show(profile, as_json=options.json)
    return 0


def _read_fields() -> dict[str, str]:
    """What is to change, as it is kept. Raises Malformed."""
    try:
        fields = json.loads(sys.stdin.read())
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or not fields or fields.keys() - _FIELDS:
        raise Malformed("fields", f"give one JSON object with: {', '.join(sorted(_FIELDS))}")
    if not all(isinstance(value, str) for value in fields.values()):
        raise Malformed("fields", "each is a text in UTF-8")
    kept = dict(fields)
    if kept.get("contact_email"):
        kept["contact_email"] = str(parse_address(kept["contact_email"]))
    if kept.get("contact_phone"):
        kept["contact_phone"] = parse_phone(kept["contact_phone"])
    return kept


def _show(profile: Profile, *, as_json: bool) -> None:
    email = Contact(Way.MAIL, profile.contact_email).mask() if profile.contact_email else None
    phone = Contact(Way.SMS, profile.contact_phone).mask() if profile.contact_phone else None
    if as_json:
        print(
            json.dumps(
                {"email": email, "email_works": not profile.is_email_dead, "phone": phone}, ensure_ascii=False
            )
        )
        return
    refused = " (the last notice was refused or came back: no such address)" if profile.is_email_dead else ""
    print(f"E-mail: {email or 'none'}{refused}\nPhone: {phone or 'none'}")
