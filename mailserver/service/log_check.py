"""Is the access log in the store the one that was signed? For ``pli check`` and the log's keeper; opens no entry.

What the signer holds, on the custodian's side, is the measure: a log that is missing, shorter or another one here
was changed by a hand in the database, or came back from an old copy.
"""

from collections.abc import Iterator

from mailserver.audit.checkpoint import LogPublics, is_log_of, parse_checkpoint, verify_checkpoint
from mailserver.audit.entry import NO_PREVIOUS, AccountHead, parse_leaf
from mailserver.audit.merkle import Frontier, leaf_hash
from mailserver.audit.sign_request import SignerHead
from mailserver.audit.tiles import Tile, grow_tiles
from mailserver.model.errors import Corrupt, NotFound, PliError
from mailserver.model.ids import AccountId
from mailserver.store import inspection, leases, log_rows
from mailserver.store.database import Connection
from mailserver.store.row_macs import RowMacs

Problem = inspection.Problem


def is_signed_log(connection: Connection, macs: RowMacs, signed: SignerHead) -> bool:
    """Whether the newest checkpoint is the signer's; behind it only by leaves that still wait (a commit was lost).

    Cheap: entries and tiles are not walked. ``signed`` was asked of the signer before.
    """
    found = log_rows.find_checkpoint(connection)
    size = 0 if found is None else found[0]
    if found is not None and size == signed.size:
        roots = {parse_checkpoint(note).checkpoint.root for note in (found[1], signed.checkpoint)}
        return len(roots) == 1
    if size >= signed.size:
        return size == signed.size
    if signed.tail_first > size:
        return False
    waiting = {leaf_hash(leaf.leaf) for leaf in log_rows.list_pending(connection, macs, None)}
    return waiting.issuperset(signed.tail[size - signed.tail_first :])


def find_log_problems(
    connection: Connection, macs: RowMacs, publics: LogPublics, origin: str, signed: SignerHead
) -> Iterator[Problem]:
    """Heads, chains, tree, tiles and checkpoint, against each other and against the signer."""
    yield from find_own_problems(connection, macs, publics, origin)
    if not _is_signed_prefix(list_placed(connection), signed):
        yield "log tree is not the one that the signer holds", ""
    try:
        is_signed = signed.size <= _size(connection) or is_signed_log(connection, macs, signed)
    except PliError:
        is_signed = False
    if not is_signed:
        yield "log is shorter than what was signed", ""


def find_own_problems(
    connection: Connection, macs: RowMacs, publics: LogPublics, origin: str
) -> Iterator[Problem]:
    """As above without the signer: an older copy of the store has none."""
    yield from _head_problems(connection, macs)
    yield from _chain_problems(connection)
    yield from _tree_problems(connection, publics, origin)


def _size(connection: Connection) -> int:
    found = log_rows.find_checkpoint(connection)
    return 0 if found is None else found[0]


def _head_problems(connection: Connection, macs: RowMacs) -> Iterator[Problem]:
    for account_id in log_rows.list_altered_heads(connection, macs):
        yield "row MAC does not fit (log_head)", account_id.hex()
    try:
        leases.list_leases(connection, macs)
    except Corrupt:
        yield "row MAC does not fit (lease)", ""


def _chain_problems(connection: Connection) -> Iterator[Problem]:
    """Each account's chain: sequence and previous hash follow, and the head is its end."""
    heads: dict[AccountId, AccountHead] = {}
    for account_id, _sequence, raw, _index in inspection.list_log_rows(connection):
        leaf = parse_leaf(raw)
        head = heads.get(account_id) or AccountHead(leaf.pseudonym)
        try:
            heads[account_id] = head.accept(leaf)
        except PliError:
            yield "log chain is broken", account_id.hex()
            return
    kept = inspection.list_log_heads(connection)
    for account_id in kept.keys() | heads.keys():
        head = heads.get(account_id) or AccountHead(account_id)
        if kept.get(account_id, (0, NO_PREVIOUS)) != (head.count, head.last):
            yield "log head is not the end of its chain", account_id.hex()


def list_placed(connection: Connection) -> dict[int, bytes]:
    """The leaves that entries name, by their place in the tree."""
    rows = inspection.list_log_rows(connection)
    return {index: raw for _account, _sequence, raw, index in rows if index is not None}


def _tree_problems(connection: Connection, publics: LogPublics, origin: str) -> Iterator[Problem]:
    """The signed checkpoint holds exactly the leaves that the entries name, and so do the tiles."""
    found = log_rows.find_checkpoint(connection)
    size = 0 if found is None else found[0]
    placed = list_placed(connection)
    if sorted(placed) != list(range(size)):
        yield "log tree has gaps or leaves that no entry names", ""
        return
    hashes = [parse_leaf(placed[index]).leaf_hash() for index in range(size)]
    if _tiles_of(hashes) != inspection.list_log_tiles(connection):
        yield "log tiles are not those of the tree", ""
    if found is None:
        return
    try:
        named = parse_checkpoint(found[1]).checkpoint.origin
        checkpoint = verify_checkpoint(publics, named if is_log_of(named, origin) else origin, found[1])
    except PliError:
        yield "log checkpoint is not signed by this server's keys", ""
        return
    if (checkpoint.size, checkpoint.root) != (size, Frontier().extend(hashes).root()):
        yield "log tree is not the signed one", ""


def _is_signed_prefix(placed: dict[int, bytes], signed: SignerHead) -> bool:
    """The signer was asked first, so what came meanwhile stands behind its leaves."""
    if sorted(placed) != list(range(len(placed))) or len(placed) < signed.size:
        return True  # gaps are told; what is behind is judged by what waits
    hashes = [parse_leaf(placed[index]).leaf_hash() for index in range(signed.size)]
    return Frontier().extend(hashes).root() == parse_checkpoint(signed.checkpoint).checkpoint.root


def _tiles_of(hashes: list[bytes]) -> dict[tuple[int, int], bytes]:
    def load(_tile: Tile) -> bytes:
        raise NotFound("log-tile")  # a tree that grows from nothing reads nothing back

    return {(tile.level, tile.index): content for tile, content in grow_tiles(0, hashes, load)}
