"""What a member may do in a shared box (K11): the rights as the server keeps them (class S), and as a connection
carries them beside the box's keys.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mailserver.audit.events import Actor, Origin
from mailserver.model.errors import Corrupt, Malformed
from mailserver.model.ids import AccountId, MailboxId
from mailserver.model.rights import EVERY_RIGHT, MEMBER_RIGHTS, Right, Rights, parse_rights

_ALWAYS: Rights = frozenset({Right.LOOKUP, Right.ADMINISTER})


@dataclass(frozen=True, slots=True)
class MemberRights:
    """``usual`` holds in every mailbox that ``special`` does not name."""

    usual: Rights = MEMBER_RIGHTS
    special: Mapping[MailboxId, Rights] = field(default_factory=dict)

    @property
    def required(self) -> Rights:
        """What cannot be taken from this member: the responsible one always sees and administers."""
        return _ALWAYS if Right.ADMINISTER in self.usual else frozenset()

    def of(self, mailbox_id: MailboxId) -> Rights:
        return self.special.get(mailbox_id, self.usual)

    def changed(self, mailbox_id: MailboxId, rights: Rights) -> "MemberRights":
        """With other rights in one mailbox; those required stay."""
        return replace(self, special={**self.special, mailbox_id: rights | self.required})

    def inherited(self, parent_id: MailboxId, mailbox_id: MailboxId) -> "MemberRights":
        """With a new mailbox that has its parent's rights (RFC 4314 §4, CREATE)."""
        return self if parent_id not in self.special else self.changed(mailbox_id, self.special[parent_id])

    def without(self, mailbox_id: MailboxId) -> "MemberRights":
        """A mailbox is gone, and its rights with it (RFC 4314 §4, DELETE)."""
        return replace(
            self, special={each: held for each, held in self.special.items() if each != mailbox_id}
        )


RESPONSIBLE_RIGHTS = MemberRights(EVERY_RIGHT)


def format_member_rights(rights: MemberRights) -> bytes:
    """JSON for the seal."""
    special = {each.hex(): _letters(held) for each, held in rights.special.items()}
    return json.dumps({"usual": _letters(rights.usual), "special": special}, sort_keys=True).encode()


def parse_member_rights(raw: bytes) -> MemberRights:
    """Inverse of ``format_member_rights``. Raises Corrupt: what was sealed is always well formed."""
    try:
        fields = json.loads(raw)
        special = {
            MailboxId(bytes.fromhex(each)): parse_rights(held) for each, held in fields["special"].items()
        }
        return MemberRights(parse_rights(fields["usual"]), special)
    except (ValueError, KeyError, TypeError, AttributeError, Malformed) as error:
        raise Corrupt("member-rights") from error


def _letters(rights: Rights) -> str:
    return "".join(right.value for right in Right if right in rights)


@dataclass(frozen=True, slots=True)
class Member:
    """A person at work in an account that is not theirs: who the log names, from where, and what they may do."""

    person_id: AccountId
    who: Actor
    origin: Origin
    rights: MemberRights
