"""Incremental MIME scanner: octets in, tree with offsets out; no I/O, and the same tree for any split.

Holds header blocks and a window of the body, never a body. Searches with ``find`` and ``re`` only; its work is
linear in the message and bounded by MimeLimits. Line ends are CRLF or bare LF (APPEND keeps any octet).
A delimiter line is one that begins with a boundary, whatever follows it (RFC 2046 §5.1.1 asks for no more);
where two fit, the longer wins.
"""

import re
from dataclasses import replace
from enum import Enum, auto

from mailserver.mime.decode import TRANSPARENT
from mailserver.mime.envelope import build_envelope
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.limits import DEFAULT_LIMITS, MimeLimits
from mailserver.mime.parameters import Parameters, find_parameter
from mailserver.mime.part import DEFAULT_CONTENT, Defect, ParsedBlock, Part, parse_block
from mailserver.model.errors import OverLimit

_BLANK_LINE = re.compile(rb"\n\r?\n")
_BLOCK_BYTES = 64 * 1024
_BOUNDARY_BYTES = 200  # RFC 2046 §5.1.1 allows 70; some writers go further
_BEHIND = 4  # octets kept before the current position: a delimiter looks back at its own CRLF


class _State(Enum):
    HEADER = auto()
    BODY = auto()
    DELIMITER = auto()


_HEADER, _BODY, _DELIMITER = _State


class _Node:
    """A part under construction."""

    __slots__ = (
        "body_end", "body_start", "children", "content", "defects", "envelope", "header_start", "is_closed",
        "line_count", "lines_before",
    )  # fmt: skip

    def __init__(self, header_start: int) -> None:
        self.header_start = header_start
        self.body_start = header_start
        self.body_end = header_start
        self.lines_before = 0
        self.line_count = 0
        self.content = DEFAULT_CONTENT
        self.children: list[_Node] = []
        self.defects: list[Defect] = []
        self.envelope: bytes | None = None
        self.is_closed = False


class _Frame:
    """An open multipart: what its delimiters look like, and where the next one is."""

    __slots__ = ("depth", "hit", "needle", "searched")

    def __init__(self, needle: bytes, depth: int, start: int) -> None:
        self.needle = needle
        self.depth = depth  # of its node on the stack
        self.searched = start  # no unreported hit begins before this offset
        self.hit = -1

    def find(self, window: bytearray, base: int, start: int) -> int:
        """Offset of the first delimiter at or after ``start``, or -1; each octet is searched once."""
        if self.hit >= start:
            return self.hit
        begin = start if start > self.searched else self.searched
        index = window.find(self.needle, begin - base)
        if index >= 0:
            self.hit = index + base
            self.searched = self.hit + 1
        else:
            self.hit = -1
            self.searched = max(begin, base + len(window) - len(self.needle) + 1)
        return self.hit


class MessageScanner:
    """``feed`` the octets in any pieces, then ``close`` to get the tree. Raises OverLimit only."""

    def __init__(self, limits: MimeLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        # A virtual LF stands before the first octet, so that every line, the first too, follows one.
        self._window = bytearray(b"\n")
        self._base = -1  # offset of the window's first octet
        self._position = 0  # offset that the next step starts from
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._state = _HEADER
        self._stack = [_Node(0)]
        self._frames: list[_Frame] = []
        self._needle_bytes = 0
        self._delimited = self._stack[0]  # the multipart whose delimiter line is being skipped
        self._blank_searched = -1
        self._line_count, self._counted_to = 0, 0
        self._part_count, self._header_bytes, self._steps = 1, 0, 0
        self._root = self._stack[0]
        self.headers: HeaderBlock | None = None
        self.head = b""
        """The message's own header block, blank line included, once it is complete."""

    # --- input ------------------------------------------------------------------------------------------------

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next octets. Raises OverLimit: ``mime-header-bytes``, ``mime-header-lines``,
        ``mime-headers-bytes``, ``mime-depth``, ``mime-parts``, ``mime-steps``.
        """
        if self._pending_bytes + len(chunk) < _BLOCK_BYTES:
            self._pending.append(bytes(chunk))
            self._pending_bytes += len(chunk)
            return
        self._flush()
        view = memoryview(chunk)
        for start in range(0, len(view), _BLOCK_BYTES):
            self._window += view[start : start + _BLOCK_BYTES]
            self._advance(is_end=False)

    def _flush(self) -> None:
        if self._pending:
            self._window += b"".join(self._pending)
            self._pending, self._pending_bytes = [], 0
            self._advance(is_end=False)

    def close(self) -> Part:
        """The tree of everything fed. Raises OverLimit as ``feed``."""
        self._window += b"".join(self._pending)
        self._pending = []
        self._advance(is_end=True)
        end = self._base + len(self._window)
        self._close_nodes(0, end, self._lines_before(end))
        root, self._stack, self._frames = self._root, [], []
        return _freeze(root, "")

    # --- steps ------------------------------------------------------------------------------------------------

    def _advance(self, *, is_end: bool) -> None:
        has_moved = True
        while has_moved:
            state = self._state
            if state is _HEADER:
                has_moved = self._step_header(is_end=is_end)
            elif state is _BODY:
                has_moved = self._step_body(is_end=is_end)
            else:
                has_moved = self._step_delimiter()
        keep_from = self._position - _BEHIND
        if keep_from > self._base:
            self._lines_before(keep_from)
            del self._window[: keep_from - self._base]
            self._base = keep_from

    def _step_header(self, *, is_end: bool) -> bool:
        start = self._position
        end = self._base + len(self._window)
        search_from = max(start - 1, self._blank_searched)
        blank = _BLANK_LINE.search(self._window, search_from - self._base)
        self._blank_searched = end - 2
        frame, hit = self._find_delimiter(start - 1) if self._frames else (None, -1)
        if frame and (blank is None or hit < blank.start() + self._base):
            if not is_end and not self._is_decided(hit):
                return False
            return self._end_header(hit + 1)  # header lines, then a delimiter: no blank line, no body
        if blank:
            return self._end_header(blank.end() + self._base)
        if is_end:
            return self._end_header(end)
        if end - start > self._limits.header_bytes + self._needle_bytes + 2:
            raise OverLimit("mime-header-bytes")
        return False

    def _step_body(self, *, is_end: bool) -> bool:
        frame, hit = self._find_delimiter(self._position - 1)
        end = self._base + len(self._window)
        if frame is None:
            slack = 0 if is_end else self._needle_bytes + 2
            self._position = max(self._position, end - slack)
            return False
        if not is_end and not self._is_decided(hit):
            self._position = max(self._position, hit)
            return False
        self._take_delimiter(frame, hit)
        return True

    def _step_delimiter(self) -> bool:
        """Skip the rest of a delimiter line: transport padding (RFC 2046 §5.1.1), or whatever it is."""
        index = self._window.find(b"\n", self._position - self._base)
        if index < 0:
            self._position = self._base + len(self._window)
            return False
        self._position = self._base + index + 1
        if self._delimited.is_closed:
            self._state = _BODY
        else:
            self._open_node(self._delimited)
        return True

    # --- delimiters -------------------------------------------------------------------------------------------

    def _find_delimiter(self, start: int) -> tuple[_Frame | None, int]:
        """The earliest delimiter; of several at one place the longest, then the innermost."""
        if len(self._frames) == 1:
            hit = self._frames[0].find(self._window, self._base, start)
            return (None if hit < 0 else self._frames[0]), hit
        best, place = None, -1
        for frame in self._frames:
            hit = frame.find(self._window, self._base, start)
            if hit < 0 or (best and hit > place):
                continue
            if best is None or hit < place or len(frame.needle) >= len(best.needle):
                best, place = frame, hit
        return best, place

    def _is_decided(self, hit: int) -> bool:
        """False while octets still to come could make a longer boundary or a closing delimiter of it."""
        index = hit - self._base
        return len(self._window) >= index + self._needle_bytes + 2 or self._window.find(b"\n", index + 1) >= 0

    def _take_delimiter(self, frame: _Frame, hit: int) -> None:
        self._charge(1)
        index = hit - self._base
        # the line break before a delimiter belongs to it (RFC 2046 §5.1.1)
        body_end = hit - 1 if index and self._window[index - 1] == 0x0D else hit
        self._close_nodes(frame.depth + 1, body_end, self._lines_before(hit))
        self._delimited = self._stack[frame.depth]
        self._position = hit + len(frame.needle)
        if self._window.startswith(b"--", self._position - self._base):
            self._delimited.is_closed = True  # what follows is the epilogue
            self._drop_frames(frame.depth - 1)
        self._state = _DELIMITER

    def _close_nodes(self, depth: int, body_end: int, lines: int) -> None:
        """End every open node from ``depth`` of the stack on; ``lines`` stand before ``body_end``."""
        for node in self._stack[depth:]:
            node.body_end = node.body_start if body_end < node.body_start else body_end
            if node.body_end > node.body_start:
                is_unfinished = self._window[node.body_end - 1 - self._base] != 0x0A
                node.line_count = lines - node.lines_before + is_unfinished
        del self._stack[depth:]
        self._drop_frames(depth - 1)

    def _drop_frames(self, depth: int) -> None:
        """Forget the frames of nodes deeper than ``depth``."""
        if not self._frames or self._frames[-1].depth <= depth:
            return
        while self._frames and self._frames[-1].depth > depth:
            self._frames.pop()
        self._needle_bytes = max((len(frame.needle) for frame in self._frames), default=0)

    # --- nodes ------------------------------------------------------------------------------------------------

    def _open_node(self, parent: _Node) -> None:
        node = _Node(self._position)
        parent.children.append(node)
        self._stack.append(node)
        self._part_count += 1
        if self._part_count > self._limits.parts:
            raise OverLimit("mime-parts")
        if len(self._stack) > self._limits.depth:
            raise OverLimit("mime-depth")
        self._blank_searched = -1
        self._state = _HEADER

    def _end_header(self, end: int) -> bool:
        """The header block of the innermost node ends before ``end``: read it, and see what its body is."""
        node = self._stack[-1]
        block = bytes(self._window[node.header_start - self._base : end - self._base])
        self._check_block(block)
        if len(self._stack) == 1:
            parsed = parse_block(block)
            self._charge(parsed.steps)
            self.head, self.headers = block, parsed.headers
        else:
            parsed = self._parse_inner(block, self._stack[-2])
        node.content, node.defects = parsed.content, list(parsed.defects)
        node.body_start = self._position = end
        node.lines_before = self._lines_before(end)
        self._state = _BODY
        if parsed.content.media_type == "multipart":
            self._open_multipart(node)
        elif parsed.content.is_message and parsed.content.encoding in TRANSPARENT:
            self._open_node(node)
        elif parsed.content.is_message:
            node.defects.append(Defect.ENCODED_MESSAGE)  # forbidden by RFC 2046 §5.2.1
        return True

    def _parse_inner(self, block: bytes, parent: _Node) -> ParsedBlock:
        """The block of a part, or of the message in ``parent``, which gets its envelope."""
        parsed = parse_block(block, in_digest=parent.content.content_type == "multipart/digest")
        self._charge(parsed.steps)
        if parent.content.is_message:
            envelope = build_envelope(parsed.headers, self._limits.nested_envelope_bytes)
            self._charge(envelope.steps)
            parent.envelope = envelope.octets
        return parsed

    def _check_block(self, block: bytes) -> None:
        if len(block) > self._limits.header_bytes:
            raise OverLimit("mime-header-bytes")
        if block.count(b"\n") > self._limits.header_lines:
            raise OverLimit("mime-header-lines")
        self._header_bytes += len(block)
        if self._header_bytes > self._limits.all_headers_bytes:
            raise OverLimit("mime-headers-bytes")

    def _open_multipart(self, node: _Node) -> None:
        boundary = _find_boundary(node.content.parameters)
        if boundary is None:
            node.defects.append(Defect.NO_BOUNDARY)
            return
        frame = _Frame(b"\n--" + boundary, len(self._stack) - 1, node.body_start - 1)
        self._frames.append(frame)
        self._needle_bytes = max(self._needle_bytes, len(frame.needle))

    # --- accounts ---------------------------------------------------------------------------------------------

    def _lines_before(self, offset: int) -> int:
        """Number of LF before ``offset``; each octet is counted once or twice."""
        start, end = self._counted_to - self._base, offset - self._base
        if end < start:
            return self._line_count - self._window.count(b"\n", end, start)
        self._line_count += self._window.count(b"\n", start, end)
        self._counted_to = offset
        return self._line_count

    def _charge(self, steps: int) -> None:
        self._steps += steps
        if self._steps > self._limits.steps:
            raise OverLimit("mime-steps")


def _find_boundary(parameters: Parameters) -> bytes | None:
    """The boundary as octets; trailing white space is not part of it (RFC 2046 §5.1.1)."""
    raw = next((value for name, value in parameters if name == b"boundary"), None)
    if raw is None:
        raw = (find_parameter(parameters, "boundary") or "").encode()
    boundary = raw.rstrip(b" \t")
    return boundary if boundary and len(boundary) <= _BOUNDARY_BYTES and b"\n" not in boundary else None


def _freeze(node: _Node, prefix: str, number: int = 0) -> Part:
    """``prefix`` is the path of the enclosing part with its dot; ``number`` 0 means a message's own body."""
    content, defects = node.content, node.defects
    if content.media_type == "multipart" and not node.children:
        if Defect.NO_BOUNDARY not in defects:
            defects.append(Defect.NO_PARTS)
    elif content.media_type == "multipart" and not node.is_closed:
        defects.append(Defect.UNCLOSED)
    is_multipart = bool(node.children) and content.media_type == "multipart"
    path = f"{prefix}{number or ('TEXT' if is_multipart else 1)}"
    inner = path.removesuffix("TEXT") if not number and is_multipart else f"{path}."
    if is_multipart:
        children = tuple(_freeze(child, inner, index) for index, child in enumerate(node.children, 1))
    else:
        children = tuple(_freeze(child, inner) for child in node.children)
    final = Part(
        path,
        node.header_start,
        node.body_start,
        node.body_end,
        node.line_count,
        content,
        children,
        node.envelope,
        tuple(defects),
    )
    return _as_opaque(final) if final.is_opaque else final


def _as_opaque(part: Part) -> Part:
    """A part whose structure cannot be followed is octets to everyone (S12); names and disposition stay."""
    kept = tuple((name, value) for name, value in part.content.parameters if name.startswith(b"name"))
    content = replace(part.content, media_type="application", subtype="octet-stream", parameters=kept)
    return replace(part, content=content)
