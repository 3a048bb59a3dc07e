"""``pli account member add|remove|list``: who works in a shared box; each act is in the box's own log."""

import argparse
import json
from datetime import UTC, datetime

from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.model.address import parse_address
from mailserver.model.rights import format_rights


def add_arguments(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    member = acts.add_parser("member", help="who works in an ORG or CAB box")
    verbs = member.add_subparsers(required=True, metavar="VERB")
    add = verbs.add_parser("add", help="give a person access to a box, under their own login")
    remove = verbs.add_parser("remove", help="take it away, from open connections too")
    listing = verbs.add_parser("list", help="the members of a box")
    for parser, call in ((add, _add), (remove, _remove), (listing, _list)):
        add_config(parser)
        parser.add_argument("--address", required=True, metavar="A", help="of the box")
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(call=call, quiet_log=True)
    for parser in (add, remove):
        parser.add_argument("--member", required=True, metavar="ADDRESS", help="of the person")
    add.add_argument(
        "--responsible", action="store_true", help="may give rights to the others and read the box's log"
    )


def _add(options: argparse.Namespace) -> int:
    box, person = parse_address(options.address), parse_address(options.member)
    with private_files(), opened(options.config) as pli:
        now = datetime.now(UTC)
        pli.services.members.add_member(box, person, now, is_responsible=options.responsible)
    facts = {"address": str(box), "member": str(person), "responsible": options.responsible}
    print(json.dumps(facts) if options.json else f"{person} is a member of {box}.")
    return 0


def _remove(options: argparse.Namespace) -> int:
    box, person = parse_address(options.address), parse_address(options.member)
    with private_files(), opened(options.config) as pli:
        pli.services.members.remove_member(box, person, datetime.now(UTC))
    facts = {"address": str(box), "member": str(person), "state": "removed"}
    print(json.dumps(facts) if options.json else f"{person} is no member of {box} any more.")
    return 0


def _list(options: argparse.Namespace) -> int:
    with private_files(), opened(options.config) as pli:
        found = pli.services.members.list_members(parse_address(options.address))
    facts = [
        {
            "address": str(each.address),
            "name": each.profile.name,
            "responsible": each.is_responsible,
            "rights": format_rights(each.rights.usual),
        }
        for each in found
    ]
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        for each in found:
            mark = "responsible" if each.is_responsible else ""
            print(
                f"{each.address!s}  {each.profile.name}  {format_rights(each.rights.usual)}  {mark}".rstrip()
            )
    return 0
