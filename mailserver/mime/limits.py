"""What one message may cost the parser (S4). Passing a limit raises OverLimit, never a slow answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MimeLimits:
    """Bounds of one message.

    ``header_bytes`` and ``header_lines`` bound each header block (the message's, a part's, a nested message's);
    ``all_headers_bytes`` bounds their sum, and so what the scanner remembers. ``steps`` bounds the work that
    is not plain searching: header blocks, fields, delimiters, addresses of nested envelopes.
    """

    header_bytes: int = 256 * 1024
    header_lines: int = 1000
    all_headers_bytes: int = 1024 * 1024
    depth: int = 50
    parts: int = 1000
    steps: int = 100_000
    nested_envelope_bytes: int = 4096


DEFAULT_LIMITS = MimeLimits()
