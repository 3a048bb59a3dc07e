"""Three clients and a plain dict: whatever they do to an account's mailboxes, each believes what is true.

The model is a dict of UID to flags for each mailbox. A client's picture is made of untagged responses alone; after a
NOOP and after an IDLE it must be the model, mod-sequences included, and a fresh look (``witness``) must see it too.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from harness.imap_harness import RunningImap, TlsFiles
from harness.imap_picture import Flags, Known, read_set
from harness.imap_player import Difference, Memory, Player
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

LETTER = "Subject: Pli\r\n\r\nLigne\r\n"
OWN_FLAGS = ("\\Seen", "\\Flagged", "etiquette")
EXTENSIONS = ("", "CONDSTORE", "QRESYNC")
KEYS = {
    "FLAGGED": lambda flags: "\\Flagged" in flags,
    "UNSEEN": lambda flags: "\\Seen" not in flags,
    "DELETED": lambda flags: "\\Deleted" in flags,
    "NOT KEYWORD etiquette": lambda flags: "etiquette" not in flags,
    "OR FLAGGED DELETED": lambda flags: bool(flags & {"\\Flagged", "\\Deleted"}),
    "ALL": lambda _flags: True,
}
_names = count()

WHO = st.integers(0, 2)
PLACES = st.sampled_from(["INBOX", "INBOX", "Sent", "A", "B"])
MADE = st.sampled_from(["A", "B", "C/D"])
PICKS = st.integers(0, 255)
"""Which of the first eight messages that a client counts, as bits; 0: all of them."""
FLAGS = st.frozensets(st.sampled_from(["\\Seen", "\\Deleted", "\\Flagged", "etiquette", "autre"]), max_size=3)


@dataclass(eq=False)
class Box:
    """What a mailbox is. ``gone``: UIDs that left."""

    messages: dict[int, Flags] = field(default_factory=dict)
    uidnext: int = 1
    gone: set[int] = field(default_factory=set)

    def add(self, flags: Flags) -> int:
        uid, self.uidnext = self.uidnext, self.uidnext + 1
        self.messages[uid] = flags
        return uid

    def remove(self, uids: Sequence[int]) -> None:
        for uid in uids:
            del self.messages[uid]
            self.gone.add(uid)


@dataclass(eq=False)
class Seat:
    """A client and what it has selected."""

    player: Player
    box: Box | None = None
    name: str = ""
    is_read_only: bool = False
    uidvalidity: int = 0
    memories: dict[str, Memory] = field(default_factory=dict)


def changed(flags: Flags, mode: str, by: Flags) -> Flags:
    return {"+": flags | by, "-": flags - by, "": by}[mode]


def expect(truth: bool, what: object) -> None:
    if not truth:
        raise Difference(what)


def write_set(numbers: Sequence[int]) -> str:
    """Ascending numbers, runs of them as ranges."""
    pieces: list[list[int]] = []
    for number in numbers:
        if pieces and pieces[-1][-1] == number - 1:
            pieces[-1].append(number)
        else:
            pieces.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[-1]}:{run[0]}" for run in pieces)


class ImapMachine(RuleBasedStateMachine):
    """``running`` and ``tls`` are set by the test; each example takes an account of its own."""

    running: RunningImap
    tls: TlsFiles

    @initialize(letters=st.lists(FLAGS, min_size=2, max_size=5))
    def open_account(self, letters: list[Flags]) -> None:
        self.account = self.running.node.add(f"doc{next(_names)}")
        self.boxes = {"INBOX": Box(), "Sent": Box()}
        self.owners: dict[tuple[str, int], Box] = {}
        self.seats = [Seat(Player(at, extension, note)) for at, extension in enumerate(EXTENSIONS, 1)]
        self.eye = Player(9, "", note)
        for player in (*(seat.player for seat in self.seats), self.eye):
            player.log_in(self.account, self.running.tls_port, self.tls.client)
        for flags in letters:
            self.append(0, "INBOX", flags)

    def teardown(self) -> None:
        try:
            if hasattr(self, "seats") and sys.exc_info()[0] is None:
                for seat in self.seats:
                    self.look(seat)
        finally:
            for player in [
                *(seat.player for seat in getattr(self, "seats", ())),
                *([self.eye] if hasattr(self, "eye") else ()),
            ]:
                player.close()

    # --- the clients ------------------------------------------------------------------------------------------

    def awake(self, who: int) -> Seat:
        """The client; it stops idling."""
        seat = self.seats[who]
        if seat.player.is_idling:
            self.wake(seat)
        return seat

    def with_mailbox(self, who: int, *, writes: bool = False) -> tuple[Seat, Box]:
        """A client that has a mailbox selected."""
        seat = self.awake(who)
        if seat.box is None or (writes and seat.is_read_only):
            self.select(who, "INBOX", False, True)
        assert seat.box is not None
        return seat, seat.box

    def wake(self, seat: Seat) -> None:
        expect(seat.player.end_idle().status == "OK", "IDLE is over")
        self.check(seat)

    def look(self, seat: Seat) -> None:
        """After a NOOP a client believes what is true."""
        if seat.player.is_idling:
            self.wake(seat)
        elif seat.box is not None:
            seat.player.run("NOOP")
            self.check(seat)

    def fill(self, seat: Seat) -> None:
        """Ask for what was announced and is not known yet."""
        player = seat.player
        items = "UID FLAGS MODSEQ" if player.extension else "UID FLAGS"
        while (first := player.picture.first_unknown()) is not None:
            expect(player.run(f"FETCH {first}:* ({items})").status == "OK", "FETCH of what EXISTS")

    def check(self, seat: Seat) -> None:
        assert seat.box is not None
        self.fill(seat)
        who, picture = seat.player.number, seat.player.picture
        difference = picture.find_difference(seat.box.messages)
        expect(difference is None, f"client {who} believes {difference}")
        fresh = self.witness(seat.box)
        if seat.player.extension:
            believed = {known.uid: known.modseq for known in picture.messages}
            expect(believed == fresh, f"client {who} believes the mod-sequences {believed}, not {fresh}")

    def witness(self, box: Box) -> dict[int, int]:
        """The mod-sequences of a mailbox as somebody sees it who comes new; its flags are the model's."""
        name = next(name for name, each in self.boxes.items() if each is box)
        self.eye.begin_picture({}, 0)
        expect(self.eye.run(f"EXAMINE {name}").status == "OK", "EXAMINE")
        if self.eye.picture.messages:
            self.eye.run("FETCH 1:* (UID FLAGS MODSEQ)")
        self.eye.run("UNSELECT")
        difference = self.eye.picture.find_difference(box.messages)
        expect(difference is None, f"{name} is {difference}")
        return {known.uid or 0: known.modseq or 0 for known in self.eye.picture.messages}

    def chosen(self, seat: Seat, picks: int, *, uid: bool) -> tuple[str, list[Known]]:
        """A set of messages that a client counts, and those messages; "" when it counts none."""
        messages = seat.player.picture.messages
        places = [at for at in range(len(messages)) if not picks or picks >> at % 8 & 1]
        members = [messages[at] for at in places]
        return write_set([known.uid or 0 for known in members] if uid else [at + 1 for at in places]), members

    # --- mailboxes --------------------------------------------------------------------------------------------

    @rule(who=WHO, name=PLACES, is_read_only=st.booleans(), resyncs=st.booleans())
    def select(self, who: int, name: str, is_read_only: bool, resyncs: bool) -> None:
        seat = self.awake(who)
        self.leave(seat)
        player, box, memory = seat.player, self.boxes.get(name), seat.memories.get(name)
        wants = f" (QRESYNC ({memory.uidvalidity} {memory.modseq}))" if memory and resyncs else ""
        player.begin_picture({}, 0)
        answer = player.run(f"{'EXAMINE' if is_read_only else 'SELECT'} {name}{wants}")
        expect((answer.status == "OK") == (box is not None), f"SELECT {name}: {answer.status}")
        if box is None:
            return
        seat.box, seat.name, seat.is_read_only = box, name, is_read_only
        seat.uidvalidity = int(answer.code("UIDVALIDITY") or 0)
        expect(self.owners.setdefault((name, seat.uidvalidity), box) is box, "UIDVALIDITY was another's")
        expect(answer.code("UIDNEXT") == str(box.uidnext), f"UIDNEXT is not {box.uidnext}")
        if memory and wants and memory.uidvalidity == seat.uidvalidity:
            self.resync(seat, memory)
        else:
            expect(not player.picture.earlier, "VANISHED of a mailbox that is not the one asked for")
        player.modseq = int(answer.code("HIGHESTMODSEQ") or 0)
        self.check(seat)

    def resync(self, seat: Seat, memory: Memory) -> None:
        """What a client remembers, and what it was told has changed, is all there is (RFC 7162 §3.2.5)."""
        picture = seat.player.picture
        told = {known.uid: known.flags for known in picture.messages if known.uid is not None}
        believed = {uid: flags for uid, flags in memory.flags.items() if uid not in picture.earlier} | told
        expect(len(believed) == len(picture.messages), f"resynchronised to {sorted(believed)}")
        for known, uid in zip(picture.messages, sorted(believed), strict=True):
            expect(known.uid in {None, uid}, f"resynchronised to {sorted(believed)}")
            known.uid, known.flags = uid, believed[uid]
        assert seat.box is not None
        difference = picture.find_difference(seat.box.messages)
        expect(difference is None, f"resynchronised: {difference}")
        if picture.messages:  # the mod-sequences of what did not change
            seat.player.run("FETCH 1:* (MODSEQ)")

    def leave(self, seat: Seat) -> None:
        """A client with QRESYNC remembers what it leaves."""
        player = seat.player
        if seat.box is not None and player.extension == "QRESYNC":
            flags = {
                known.uid: known.flags
                for known in player.picture.messages
                if known.uid and known.flags is not None
            }
            if len(flags) == len(player.picture.messages):
                seat.memories[seat.name] = Memory(seat.uidvalidity, player.modseq, flags)
        seat.box = None

    @rule(who=WHO, closes=st.booleans())
    def close(self, who: int, closes: bool) -> None:
        seat, box = self.with_mailbox(who)
        expunges = closes and not seat.is_read_only
        self.leave(seat)
        expect(seat.player.run("CLOSE" if closes else "UNSELECT").status == "OK", "CLOSE")
        if expunges:
            box.remove([uid for uid, flags in box.messages.items() if "\\Deleted" in flags])

    @rule(who=WHO)
    def reconnect(self, who: int) -> None:
        seat = self.seats[who]
        self.leave(seat)
        seat.player.log_in(self.account, self.running.tls_port, self.tls.client)

    @rule(who=WHO, name=MADE)
    def create(self, who: int, name: str) -> None:
        answer = self.awake(who).player.run(f"CREATE {name}")
        expect((answer.status == "OK") == (name not in self.boxes), f"CREATE: {answer}")
        if name not in self.boxes:
            self.make(name, Box())

    def make(self, name: str, box: Box) -> None:
        """A name that another mailbox had comes with another UIDVALIDITY (RFC 9051 §6.3.5)."""
        self.boxes[name] = box
        answer = self.eye.run(f"STATUS {name} (UIDVALIDITY)")
        found = answer.find(r"\* STATUS .*\(UIDVALIDITY (\d+)\)")
        validity = int(found[1]) if found else 0
        expect(
            self.owners.setdefault((name, validity), box) is box,
            f"UIDVALIDITY {validity} of {name} was another's",
        )

    @rule(who=WHO, name=MADE)
    def delete(self, who: int, name: str) -> None:
        seat = self.awake(who)
        answer = seat.player.run(f"DELETE {name}")
        gone = self.boxes.pop(name, None)
        expect((answer.status == "OK") == (gone is not None), f"DELETE: {answer}")
        if gone is None:
            return
        if seat.box is gone:
            seat.box = None
        for other in self.seats:
            if other.box is gone:
                other.player.await_end()
                other.box = None
                other.player.log_in(self.account, self.running.tls_port, self.tls.client)

    @rule(who=WHO, name=st.sampled_from(["INBOX", "A", "B"]), new_name=MADE)
    def rename(self, who: int, name: str, new_name: str) -> None:
        seat = self.awake(who)
        answer = seat.player.run(f"RENAME {name} {new_name}")
        box = self.boxes.get(name)
        may = box is not None and new_name not in self.boxes
        expect((answer.status == "OK") == may, f"RENAME: {answer}")
        if box is None or not may:
            return
        if name == "INBOX":
            made = Box()
            for uid in sorted(box.messages):
                made.add(box.messages[uid])
            box.remove(list(box.messages))
            self.make(new_name, made)
            return
        del self.boxes[name]
        self.make(new_name, box)
        for other in self.seats:
            if other.box is box:
                other.name = new_name

    @rule(who=WHO, name=PLACES)
    def status(self, who: int, name: str) -> None:
        answer = self.awake(who).player.run(f"STATUS {name} (MESSAGES UIDNEXT UNSEEN DELETED)")
        box = self.boxes.get(name)
        expect((answer.status == "OK") == (box is not None), f"STATUS: {answer}")
        if box is not None:
            unseen = sum("\\Seen" not in flags for flags in box.messages.values())
            deleted = sum("\\Deleted" in flags for flags in box.messages.values())
            told = f"* STATUS {name} (MESSAGES {len(box.messages)} UIDNEXT {box.uidnext} UNSEEN {unseen} DELETED {deleted})"
            expect(told in answer.lines, f"not {told}")

    # --- messages ---------------------------------------------------------------------------------------------

    @rule(who=WHO, name=PLACES, flags=FLAGS)
    def append(self, who: int, name: str, flags: Flags) -> None:
        player, box = self.awake(who).player, self.boxes.get(name)
        answer = player.run(f"APPEND {name} ({' '.join(sorted(flags))}) {{{len(LETTER)}+}}\r\n{LETTER}")
        if box is None:
            expect(answer.code("TRYCREATE") == "", f"APPEND: {answer}")
            return
        uid = box.add(flags)
        expect((answer.code("APPENDUID") or "").split()[1:] == [str(uid)], f"APPEND of {uid}: {answer}")

    @rule(
        who=WHO, picks=PICKS, uid=st.booleans(), mode=st.sampled_from(["+", "-", ""]), flags=FLAGS, silent=st.booleans(),
        test=st.sampled_from(["", "", "mine", "old"]),
    )  # fmt: skip
    def store(
        self, who: int, picks: int, uid: bool, mode: str, flags: Flags, silent: bool, test: str
    ) -> None:
        seat, box = self.with_mailbox(who)
        player, (numbers, members) = seat.player, self.chosen(seat, picks, uid=uid)
        if not members:
            return
        since, refused = "", set()
        if test and player.extension:
            at_most = 1 if test == "old" else max(known.modseq or 0 for known in members)
            since = f" (UNCHANGEDSINCE {at_most})"
            fresh = self.witness(box)
            refused = {known.uid for known in members if fresh.get(known.uid or 0, 0) > at_most}
        places = {known.uid: at for at, known in enumerate(player.picture.messages, 1)}
        player.picture.told.clear()
        words = f"{numbers}{since} {mode}FLAGS{'.SILENT' if silent else ''} ({' '.join(sorted(flags))})"
        answer = player.run(f"{'UID ' if uid else ''}STORE {words}")
        if seat.is_read_only:
            expect(answer.status == "NO", f"STORE after EXAMINE: {answer.status}")
            return
        expect(answer.status == "OK", f"STORE: {answer}")
        modified = set(read_set(answer.code("MODIFIED") or "0")) - {0}
        expect(
            modified == {each if uid else places[each] for each in refused},
            f"MODIFIED {modified}, not {refused}",
        )
        self.mark(
            player, box, [known for known in members if known.uid not in refused], (mode, flags), silent
        )

    def mark(
        self, player: Player, box: Box, members: list[Known], change: tuple[str, Flags], silent: bool
    ) -> None:
        """What a STORE did, and what its client thinks that it did."""
        for known in members:
            is_told = id(known) in player.picture.told
            if known.uid in box.messages:
                box.messages[known.uid] = changed(box.messages[known.uid], *change)
                expect(silent or is_told, f"STORE did not tell the flags of UID {known.uid}")
            if not is_told:
                known.flags = changed(known.flags or frozenset(), *change)

    @rule(who=WHO, picks=PICKS, uid=st.booleans(), name=PLACES, moves=st.booleans())
    def transfer(self, who: int, picks: int, uid: bool, name: str, moves: bool) -> None:
        seat, box = self.with_mailbox(who)
        numbers, members = self.chosen(seat, picks, uid=uid)
        if not members:
            return
        answer = seat.player.run(f"{'UID ' if uid else ''}{'MOVE' if moves else 'COPY'} {numbers} {name}")
        target = self.boxes.get(name)
        if moves and seat.is_read_only:
            expect(answer.status == "NO", f"MOVE after EXAMINE: {answer.status}")
            return
        if target is None:
            expect(answer.code("TRYCREATE") == "", f"COPY: {answer}")
            return
        expect(answer.status == "OK", f"COPY: {answer}")
        uids = sorted(known.uid for known in members if known.uid in box.messages)
        flags = [box.messages[uid] for uid in uids]
        if moves:
            box.remove(uids)
        made = [target.add(each) for each in flags]
        code = answer.code("COPYUID")
        told = [read_set(each) for each in code.split()[1:]] if code else [[], []]
        expect(told == [uids, made], f"COPYUID {told}, not {[uids, made]}")

    @rule(who=WHO, picks=PICKS, by_uid=st.booleans())
    def expunge(self, who: int, picks: int, by_uid: bool) -> None:
        seat, box = self.with_mailbox(who)
        numbers, members = self.chosen(seat, picks, uid=True)
        by_uid = by_uid and bool(members)
        answer = seat.player.run(f"UID EXPUNGE {numbers}" if by_uid else "EXPUNGE")
        expect(answer.status == ("NO" if seat.is_read_only else "OK"), f"EXPUNGE: {answer}")
        if not seat.is_read_only:
            named = {known.uid for known in members} if by_uid else set(box.messages)
            box.remove([uid for uid, flags in box.messages.items() if uid in named and "\\Deleted" in flags])

    @rule(who=WHO, picks=PICKS, uid=st.booleans(), since=st.booleans())
    def fetch(self, who: int, picks: int, uid: bool, since: bool) -> None:
        seat, box = self.with_mailbox(who)
        player, (numbers, members) = seat.player, self.chosen(seat, picks, uid=uid)
        if not members:
            return
        items, counted = "(UID FLAGS)", {known.uid for known in player.picture.messages}
        has_vanished = since and uid and player.extension == "QRESYNC"
        if since and player.extension:
            items += " (CHANGEDSINCE 1 VANISHED)" if has_vanished else f" (CHANGEDSINCE {player.modseq})"
        numbers = f"1:{box.uidnext}" if has_vanished else numbers
        player.picture.earlier.clear()
        expect(player.run(f"{'UID ' if uid else ''}FETCH {numbers} {items}").status == "OK", "FETCH")
        earlier = box.gone - counted if has_vanished else set()
        expect(player.picture.earlier == earlier, f"VANISHED (EARLIER) is not {earlier}")

    @rule(who=WHO, uid=st.booleans(), key=st.sampled_from(sorted(KEYS)), picks=PICKS)
    def search(self, who: int, uid: bool, key: str, picks: int) -> None:
        """What others did and the client was not told yet may count or not."""
        seat, box = self.with_mailbox(who)
        numbers, members = self.chosen(seat, picks, uid=False)
        if not members:
            return
        places = list(seat.player.picture.messages)
        before = {known.uid: KEYS[key](known.flags) for known in members}
        answer = seat.player.run(f"{'UID ' if uid else ''}SEARCH {numbers} {key}")
        found = answer.find(r"\* SEARCH([\d ]*)(?: \(MODSEQ \d+\))?")
        expect(found is not None, "SEARCH has no result")
        said = [int(word) for word in found[1].split()] if found else []
        told = set(said) if uid else {places[number - 1].uid for number in said}
        now = {
            each: KEYS[key](box.messages[each]) if each in box.messages else not was
            for each, was in before.items()
        }
        sure = {each for each, was in before.items() if was and now[each]}
        maybe = {each for each, was in before.items() if was or now[each]}
        expect(sure <= told <= maybe, f"SEARCH found {told}, not {sure}")

    @rule(
        picks=st.lists(PICKS, min_size=3, max_size=3),
        kinds=st.lists(st.sampled_from(["+", "-", "append", "fetch"]), min_size=3, max_size=3),
        silent=st.booleans(),
    )
    def at_once(self, picks: list[int], kinds: list[str], silent: bool) -> None:
        """All three speak before any is answered; each has a flag of its own, so that no order matters."""
        acts = []
        for who, (bits, kind) in enumerate(zip(picks, kinds, strict=True)):
            seat, box = self.with_mailbox(who, writes=True)
            self.fill(seat)
            numbers, members = self.chosen(seat, bits, uid=True)
            seat.player.picture.told.clear()
            change = (kind, frozenset({OWN_FLAGS[who]})) if members and kind in {"+", "-"} else None
            if change:
                command = f"UID STORE {numbers} {kind}FLAGS{'.SILENT' if silent else ''} ({OWN_FLAGS[who]})"
            elif kind == "append":
                command = f"APPEND INBOX {{{len(LETTER)}+}}\r\n{LETTER}"
            else:
                command = "FETCH 1:* FLAGS" if members else "NOOP"
            acts.append((seat.player, box, members, change, command))
        for player, *_rest, command in acts:
            player.send(command)
        for player, box, members, change, command in acts:
            answer = player.take_answer()
            expect(answer.status == "OK", f"{command}: {answer}")
            if change:
                self.mark(player, box, members, change, silent)
            elif made := answer.code("APPENDUID"):
                inbox, uid = self.boxes["INBOX"], int(made.split()[1])
                inbox.messages[uid] = frozenset()
                inbox.uidnext = max(inbox.uidnext, uid + 1)

    # --- news -------------------------------------------------------------------------------------------------

    @rule(who=WHO)
    def noop(self, who: int) -> None:
        self.with_mailbox(who)
        self.look(self.seats[who])

    @rule(who=WHO)
    def idle(self, who: int) -> None:
        seat, _box = self.with_mailbox(who)
        seat.player.begin_idle()

    @invariant()
    def the_idling_are_told_at_once(self) -> None:
        for seat in getattr(self, "seats", ()):
            if seat.player.is_idling and seat.box is not None:
                seat.player.await_news(seat.box.messages)

    @invariant()
    def the_others_know_what_exists(self) -> None:
        for seat in getattr(self, "seats", ()):
            if not seat.player.is_idling and seat.box is not None:
                self.fill(seat)
