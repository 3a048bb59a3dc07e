"""``pli account add|list|disable|app-password`` and what other modules add: through custody, logged in the account's own log.

The process list shows arguments to everybody on the machine: ``--fields-stdin`` takes what is private from standard
input instead.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mailserver.cli import (
    away_command,
    bounce_command,
    contact_command,
    imap_settings,
    login_commands,
    member_commands,
    reset_commands,
)
from mailserver.cli.numbers import whole_number
from mailserver.cli.opened import opened, read_secret
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import SlotScope
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed
from mailserver.model.ids import ID_BYTES
from mailserver.model.patient import parse_ins
from mailserver.model.phone import parse_phone
from mailserver.service.account_slots import APP_PASSWORD_DAYS
from mailserver.service.administration import NewAccount
from mailserver.service.app_passwords import AppPasswordInfo
from mailserver.service.directory import Profile
from mailserver.service.one_time import new_totp_secret, otpauth_uri

PRIVATE_FIELDS = ("name", "ins", "contact_email", "contact_phone", "profession", "structure", "password")
MOST_DAYS = 3660
NO_WEB_LOGIN = (
    "No web password was given: mail for this person is kept, and they cannot log in on the web yet. Give one with: "
    "pli account web-password"
)
NO_CODES = (
    "There is nowhere to send login codes to, so this person cannot log in on the web yet. Give an address or a "
    "telephone with: pli account contact --fields-stdin"
)


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    account = commands.add_parser("account", help="make and manage accounts")
    acts = account.add_subparsers(required=True, metavar="ACT")
    add = acts.add_parser("add", help="make an account with its keys")
    add_config(add)
    add.add_argument("--kind", choices=[kind.value for kind in AccountKind], required=True)
    add.add_argument("--address", required=True, metavar="A")
    add.add_argument("--name", default="")
    add.add_argument("--ins", metavar="OID|NUMBER", help="a patient's insurance identity")
    add.add_argument(
        "--contact-email", default="", metavar="E", help="ordinary address for codes and notices"
    )
    add.add_argument(
        "--contact-phone", default="", metavar="P", help="telephone for codes and notices by SMS"
    )
    add.add_argument("--profession", default="")
    add.add_argument("--structure", default="")
    add.add_argument(
        "--member",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="of an ORG or CAB, the responsible one first; repeat",
    )
    add.add_argument(
        "--password-stdin", action="store_true", help="a web password, one line on standard input"
    )
    add.add_argument(
        "--fields-stdin",
        action="store_true",
        help=f"one JSON object on standard input in place of options: {', '.join(PRIVATE_FIELDS)}",
    )
    add.add_argument(
        "--totp", action="store_true", help="a second factor by application instead of e-mail codes"
    )
    add.add_argument("--app-password", action="store_true", help="give a patient an app password too")
    _add_expires(add)
    add.add_argument("--json", action="store_true")
    add.set_defaults(call=_add, quiet_log=True)
    _add_others(acts)
    bounce_command.add_arguments(acts)
    contact_command.add_arguments(acts)
    reset_commands.add_arguments(acts)
    imap_settings.add_arguments(acts)
    member_commands.add_arguments(acts)
    login_commands.add_arguments(acts)
    away_command.add_arguments(acts)


def _add_others(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = acts.add_parser("list", help="every account")
    disable = acts.add_parser("disable", help="no login and no delivery from now on")
    password = acts.add_parser(
        "app-password", help="a further app password, shown once; or list them, or revoke one"
    )
    for parser, call in ((listing, _list), (disable, _disable), (password, _app_password)):
        add_config(parser)
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(call=call, quiet_log=True)
    for parser in (disable, password):
        parser.add_argument("--address", required=True, metavar="A")
    scopes = [SlotScope.IMAP_SMTP.value, SlotScope.IMAP.value, SlotScope.SMTP.value, SlotScope.API.value]
    password.add_argument(
        "--scope",
        choices=scopes,
        default=SlotScope.IMAP_SMTP.value,
        help="what it opens; api: the person's own space, for programs, and no mailbox (docs/api.md)",
    )
    _add_expires(password)
    other = password.add_mutually_exclusive_group()
    other.add_argument("--list", action="store_true", help="those there are, with their ends")
    other.add_argument("--revoke", type=_slot_id, metavar="ID", help="end one, and its connections with it")


def _add_expires(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expires",
        type=whole_number(1, MOST_DAYS),
        default=APP_PASSWORD_DAYS,
        metavar="DAYS",
        help=f"how long the app password lasts (default: {APP_PASSWORD_DAYS} days)",
    )


def _slot_id(text: str) -> bytes:
    """The id of an app password, as the list shows it."""
    try:
        slot_id = bytes.fromhex(text)
    except ValueError:
        slot_id = b""
    if len(slot_id) != ID_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is no id of an app password; see --list")
    return slot_id


def _private_fields(options: argparse.Namespace) -> dict[str, str]:
    """What the account's holder would not have shown to everybody; absent fields are left out. Raises Malformed."""
    if not options.fields_stdin:
        given = {name: getattr(options, name, None) for name in PRIVATE_FIELDS}
        if options.password_stdin:
            given["password"] = read_secret("Password").reveal().decode()
        return _texts({name: value for name, value in given.items() if value})
    try:
        fields = json.loads(sys.stdin.read())
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or fields.keys() - set(PRIVATE_FIELDS):
        raise Malformed("fields", f"give one JSON object with: {', '.join(PRIVATE_FIELDS)}")
    return _texts(fields)


def _texts(fields: Mapping[str, object]) -> dict[str, str]:
    """The fields, each a text that UTF-8 can write: octets of another encoding come in as lone surrogates."""
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and _is_writable(value)}
    if len(texts) < len(fields):
        raise Malformed("fields", "each is a text in UTF-8")
    return texts


def _is_writable(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _new_account(options: argparse.Namespace, totp: str | None) -> NewAccount:
    kind, fields = AccountKind(options.kind), _private_fields(options)
    if not fields.get("name"):
        raise Malformed("name-needed", "give --name, or name on standard input with --fields-stdin")
    name, contact, profession, structure = (
        fields.get(field, "") for field in ("name", "contact_email", "profession", "structure")
    )
    return NewAccount(
        kind,
        parse_address(options.address),
        Profile(
            name,
            contact,
            profession,
            structure,
            contact_phone=parse_phone(fields["contact_phone"]) if fields.get("contact_phone") else "",
        ),
        parse_ins(fields["ins"]) if fields.get("ins") else None,
        tuple(parse_address(member) for member in options.member),
        Secret(fields["password"].encode()) if fields.get("password") else None,
        has_app_password=kind is not AccountKind.PATIENT or options.app_password,
        second_factor=totp,
        days=options.expires,
    )


def _add(options: argparse.Namespace) -> int:
    totp = new_totp_secret() if options.totp else None
    new = _new_account(options, totp)
    kind, address = new.kind, new.address
    with private_files(), opened(options.config) as pli:
        pli.services.notices.demand_prefix(new.profile.contact_phone)
        made = pli.services.administration.add_account(new, datetime.now(UTC))
        operator = pli.services.config.operator.name
    otpauth = otpauth_uri(totp, str(address), operator) if totp else None
    facts = {
        "id": made.account_id.hex(),
        "address": str(address),
        "app_password": made.app_password,
        "otpauth": otpauth,
    }
    if options.json:
        print(json.dumps(facts))
        return 0
    print(f"Made {address} ({kind.value}).")
    if made.app_password:
        print(f"App password, shown once, good for {new.days} days, for the mail client: {made.app_password}")
    if new.password is None and kind is AccountKind.PATIENT:
        print(NO_WEB_LOGIN)
    elif new.password is not None and not (otpauth or new.profile.contact_email or new.profile.contact_phone):
        print(NO_CODES)
    if otpauth:
        print(f"Second factor, shown once: {otpauth}")
    return 0


def _list(options: argparse.Namespace) -> int:
    with private_files(), opened(options.config) as pli:
        rows = pli.services.administration.list_accounts()
        by_certificate = pli.services.bindings.list_certificate_boxes()
    facts = [
        {
            "id": row.account_id.hex(),
            "kind": row.kind.value,
            "state": row.state.value,
            "name": profile.name,
            "addresses": [str(address) for address in addresses],
            "opened_by_certificate": row.account_id in by_certificate,
        }
        for row, profile, addresses in rows
    ]
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    for row, profile, addresses in rows:
        mark = "  (certificate box: on the mail process's word)" if row.account_id in by_certificate else ""
        named = ", ".join(map(str, addresses))
        print(f"{row.kind.value:8} {row.state.value:9} {named}  {profile.name}{mark}")
    return 0


def _disable(options: argparse.Namespace) -> int:
    address = parse_address(options.address)
    with private_files(), opened(options.config) as pli:
        pli.services.administration.disable_account(address, datetime.now(UTC))
    print(
        json.dumps({"address": str(address), "state": "disabled"}) if options.json else f"Disabled {address}."
    )
    return 0


def _app_password(options: argparse.Namespace) -> int:
    address, now = parse_address(options.address), datetime.now(UTC)
    with private_files(), opened(options.config) as pli:
        app_passwords = pli.services.app_passwords
        if options.list:
            return _show_app_passwords(
                app_passwords.list_app_passwords(address, now), now, as_json=options.json
            )
        if options.revoke:
            app_passwords.revoke_app_password(address, options.revoke, now)
            told = {"address": str(address), "id": options.revoke.hex(), "state": "revoked"}
            print(json.dumps(told) if options.json else f"Revoked {told['id']} of {address}.")
            return 0
        text, made = app_passwords.add_app_password(address, SlotScope(options.scope), now, options.expires)
    facts = _app_password_facts(made, now)
    if options.json:
        print(json.dumps({"address": str(address), "app_password": text} | facts))
    else:
        print(f"App password for {address}, shown once, good until {facts['expires']}: {text}")
    return 0


def _app_password_facts(info: AppPasswordInfo, now: datetime) -> dict[str, str | None]:
    return {
        "id": info.slot_id.hex(),
        "scope": info.scope.value,
        "made": info.made_at.isoformat(),
        "expires": None if info.ends_at is None else info.ends_at.isoformat(),
        "state": "over" if info.is_over(now) else "good",
    }


def _show_app_passwords(infos: Sequence[AppPasswordInfo], now: datetime, *, as_json: bool) -> int:
    facts = [_app_password_facts(info, now) for info in infos]
    if as_json:
        print(json.dumps(facts))
        return 0
    for fact in facts:
        print(f"{fact['id']}  {fact['scope']:9} {fact['state']}  until {fact['expires'] or 'revoked'}")
    return 0
