"""``pli log reopen``: the log goes on after an older copy of the store was put back (L5).

Nothing that was written or signed is changed. What the copy holds must be whole in itself; it keeps its entries and
their places, and is signed on under the next name, so that no receipt of before passes for one of after. Each account
gets an entry that says so: why, the head that was signed until then, and how many of its entries are gone at most.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.app.custody_link import LocalCustodian, ReopenedLog, log_origin
from mailserver.app.services import Services
from mailserver.audit.checkpoint import parse_checkpoint
from mailserver.audit.entry import AccountHead, parse_leaf
from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, ParameterName
from mailserver.audit.sign_request import SignerHead, format_sign_request, parse_signer_head
from mailserver.model.errors import Conflict, Denied, Malformed
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.administrator import LOG_ADMINISTRATOR
from mailserver.service.log_check import find_own_problems, is_signed_log, list_placed
from mailserver.store import inspection
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit

REASON_CHARACTERS = 150

logger = logging.getLogger("pli.log")


@dataclass(frozen=True, slots=True)
class Reopening:
    """What was done: entries that the signer had signed, those that the store held in its tree, accounts told."""

    log: ReopenedLog
    signed: int
    held: int
    accounts: int


def reopen_log(services: Services, local: LocalCustodian, reason: str, now: datetime) -> Reopening:
    """1. There is something to reopen, and the store's log is whole in itself. 2. The custodian's journal has the act.
    3. Each account's log has its entry. 4. The signer goes on under the next name. Cut off, it may be done again: then
    some accounts have the entry twice.

    Raises Malformed("log-reason"), Denied("log-whole"), Conflict("log-broken").
    """
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS or not reason.isprintable():
        raise Malformed("log-reason")
    store, base = services.store, log_origin(services.config)
    signed = parse_signer_head(local.sign_log(format_sign_request(0, [])))
    with store.database.read() as connection:
        if is_signed_log(connection, store.macs, signed):
            raise Denied("log-whole")
        problems = find_own_problems(connection, store.macs, local.custody.log_publics, base)
        broken = next(problems, None)
        placed = list_placed(connection)
        chains = _read_chains(connection)
    if broken is not None:
        raise Conflict("log-broken", broken[0])
    services.custody.note_act(f"log reopen: {reason.strip()}")
    accounts = _tell(store, local.signed_heads(), chains, _event(reason.strip(), signed, now))
    log = local.reopen_log([placed[index] for index in range(len(placed))])
    facts = {"old": log.old_origin, "new": log.new_origin, "signed": signed.size, "held": len(placed)}
    logger.warning("the log was reopened under another name", extra=facts)
    return Reopening(log, signed.size, len(placed), accounts)


@dataclass(slots=True)
class _Chain:
    """Of one account, as the store holds it: entries in the tree, and the hashes of all leaves."""

    placed: int
    hashes: set[bytes]


def _read_chains(connection: Connection) -> dict[bytes, _Chain]:
    """By pseudonym."""
    chains: dict[bytes, _Chain] = {}
    for _account, _sequence, raw, index in inspection.list_log_rows(connection):
        leaf = parse_leaf(raw)
        chain = chains.setdefault(leaf.pseudonym, _Chain(0, set()))
        chain.hashes.add(leaf.leaf_hash())
        chain.placed += index is not None
    return chains


def _event(reason: str, signed: SignerHead, now: datetime) -> AuditEvent:
    root = parse_checkpoint(signed.checkpoint).checkpoint.root
    parameters = ((ParameterName.FINGERPRINT, f"{signed.size}:{root.hex()}"), (ParameterName.REASON, reason))
    what = AuditObject(ObjectKind.LOG, parameters=parameters)
    return AuditEvent(EventKind.LOG_REOPENED, now, LOG_ADMINISTRATOR, what)


def _tell(
    store: Store, heads: dict[bytes, AccountHead], chains: dict[bytes, _Chain], event: AuditEvent
) -> int:
    """An entry for every account of the store; how many."""
    with store.database.read() as connection:
        rows = list(store.accounts.list_accounts(connection))
    waiting = []
    for row in rows:
        head = heads.get(row.pseudonym, AccountHead(row.pseudonym))
        lost = _lost(head, chains.get(row.pseudonym, _Chain(0, set())))
        waiting.append(store.writer.submit(_unit(store, row, event, lost)))
    for each in waiting:
        each.result()
    return len(waiting)


def _unit(store: Store, row: AccountRow, event: AuditEvent, lost: int) -> Unit[None]:
    parameters = ((ParameterName.COUNT, str(lost)), *event.what.parameters)
    entry = prepare_entry(row, replace(event, what=replace(event.what, parameters=parameters)))
    return Unit(row.account_id, lambda connection: add_entries(connection, store.macs, [entry]))


def _lost(signed: AccountHead, chain: _Chain) -> int:
    """0 when the last one signed is here; otherwise what was signed and has no place here, which may be more than
    what is gone: some of it can still wait here.
    """
    return 0 if signed.count == 0 or signed.last in chain.hashes else signed.count - chain.placed
