"""Messages to send: invented words, about the asked size, each with a Message-ID of its own."""

import base64
import os
import random
from collections.abc import Iterator
from itertools import count

SYLLABLES = ("ka", "lo", "mi", "re", "su", "ten", "var", "do", "pri", "qua", "sil", "or", "an", "eth", "um")
SMALL_BYTES = 8192
VARIANTS = 16
NEEDLE = "xyzzyneedle"
NEEDLE_EVERY = 32
"""One variant in so many holds NEEDLE in its text; of the usual 16, none does."""
_SLOT = "MESSAGE-ID-SLOT"


def _words() -> list[str]:
    draw = random.Random(7)
    return ["".join(draw.choice(SYLLABLES) for _ in range(draw.randint(1, 4))) for _ in range(6000)]


WORDS = _words()


def _text(draw: random.Random, size: int, line_end: str) -> str:
    lines, line, total = [], "", 0
    while total < size:
        line += WORDS[int(draw.random() ** 2 * len(WORDS))] + " "
        if len(line) > 66:
            lines.append(line.rstrip() + line_end)
            total += len(lines[-1])
            line = ""
    return "".join(lines)


def _alternative(draw: random.Random, mark: str, size: int, more: str = "") -> str:
    plain, page = _text(draw, int(size * 0.4), "\r\n"), _text(draw, int(size * 0.45), "<br>\r\n")
    plain += more
    return (
        f"--{mark}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{plain}\r\n"
        f"--{mark}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        f"<html><body>{page}</body></html>\r\n--{mark}--\r\n"
    )


def format_message(size: int, seed: int, sender: str, recipient: str, more: str = "") -> bytes:
    """A multipart message of about ``size`` bytes: text, with ``more`` at its end, beside HTML, and over 8 KiB a
    base64 attachment.
    """
    draw = random.Random(seed)
    mark = f"=_b{seed:08x}"
    given, family = draw.choice(WORDS).title(), draw.choice(WORDS).title()
    relay = f"mx{draw.randint(1, 9)}.example.net"
    clock = f"Mon, 5 Oct 2026 10:{draw.randint(0, 59):02}:{draw.randint(0, 59):02} +0000"
    head = [
        f"Received: from {relay} ({relay} [192.0.2.{draw.randint(1, 250)}])",
        f"\tby relay.example.test with ESMTPS id {draw.getrandbits(48):012x};",
        f"\t{clock}",
        f'From: "{given} {family}" <{sender}>',
        f"To: <{recipient}>",
        f"Subject: {' '.join(draw.choice(WORDS) for _ in range(6))}",
        f"Date: {clock}",
        f"Message-ID: <{draw.getrandbits(64):016x}.{_SLOT}@example.net>",
        "MIME-Version: 1.0",
    ]
    room = size - sum(len(line) + 2 for line in head) - 360
    if size <= SMALL_BYTES:
        head.append(f'Content-Type: multipart/alternative; boundary="{mark}"')
        body = _alternative(draw, mark, max(room, 200), more)
    else:
        head.append(f'Content-Type: multipart/mixed; boundary="{mark}"')
        body = _with_attachment(draw, mark, room)
    return "\r\n".join([*head, "", body]).encode()


def _with_attachment(draw: random.Random, mark: str, room: int) -> str:
    inner = mark + "a"
    text = _alternative(draw, inner, 4000)
    octets = base64.encodebytes(draw.randbytes(int((room - len(text)) * 0.73))).decode()
    return (
        f'--{mark}\r\nContent-Type: multipart/alternative; boundary="{inner}"\r\n\r\n{text}\r\n--{mark}\r\n'
        'Content-Type: application/pdf; name="report.pdf"\r\n'
        'Content-Disposition: attachment; filename="report.pdf"\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\n{octets.replace(chr(10), chr(13) + chr(10))}\r\n--{mark}--\r\n"
    )


def _needle_of(seed: int) -> str:
    return f"{NEEDLE}\r\n" if seed % NEEDLE_EVERY == NEEDLE_EVERY - 1 else ""


class Pool:
    """Variants made before the clock runs; ``next_message`` only writes a fresh Message-ID into one."""

    def __init__(self, size: int, sender: str, recipient: str, variants: int = VARIANTS) -> None:
        made = [
            format_message(size, 1000 + seed, sender, recipient, _needle_of(seed)) for seed in range(variants)
        ]
        assert not any(b"\r\n." in message for message in made)
        self._halves = [message.split(_SLOT.encode(), 1) for message in made]
        self._tag = os.urandom(6).hex().encode()
        self._numbers: Iterator[int] = count()
        self.mean_bytes = sum(map(len, made)) // variants

    def next_message(self) -> bytes:
        number = next(self._numbers)
        before, after = self._halves[number % len(self._halves)]
        return b"%s%s.%d%s" % (before, self._tag, number, after)
