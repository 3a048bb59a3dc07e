"""Mail composed here, whose header says what its archive holds (ECO.2.4.1, ECO.2.4.2).

Files stream into a sealed intake behind a header that says nothing of them. Only where one of them is an archive is the
mail assembled anew, in a second intake, under a header that is computed from what was read: by the reader that arriving
messages are compared with, so that the two never differ. What such a reader could not file is not sent as an archive.
Nothing plain touches a disk (S5), nothing large is held, and an intake that is not kept leaves nothing.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

from mailserver.documents.mss_headers import MssHeaders
from mailserver.documents.reasons import SetAside
from mailserver.mime.composer import (
    FileToAttach,
    Letter,
    format_boundary,
    format_delimiter,
    format_letter_header,
    format_multipart_field,
    format_text_entity,
    stream_attachment,
)
from mailserver.service.filing import is_archive_name
from mailserver.service.intake import READ_BYTES, Intake

_COPY = re.compile(r"ihe_xdm(?: ?\([0-9]{1,3}\)|-[0-9]{1,3})\.zip", re.IGNORECASE)
"""What browsers call a second download of an archive: its readers know it by the one name alone."""
logger = logging.getLogger("pli.documents")


def compose_mail(
    begin: Callable[[], Intake],
    letter: Letter,
    nonce: str,
    files: Iterator[FileToAttach],
    announce: Callable[[Intake], MssHeaders | SetAside],
) -> Intake | SetAside:
    """The finished mail, which the caller closes; or why its archive cannot be sent.

    ``begin`` gives an intake with its trace lines, ``announce`` what a header is to say of the archive of one. Raises
    OverLimit("message-too-large") while the octets come, Malformed for a text or name that no mail can carry,
    Unavailable.
    """
    with ExitStack() as held:
        mail = held.enter_context(closing(begin()))
        has_archive = write_mail(mail.write, letter, nonce, files)
        mail.finish()
        said = announce(mail) if has_archive else MssHeaders()
        if isinstance(said, SetAside):
            logger.info("an archive was not sent", extra={"code": said.reason.value})
            return said
        if said.fields():
            announced = held.enter_context(closing(begin()))
            _assemble(announced, mail, letter, said)
            mail.close()
            mail = announced
        held.pop_all()
        return mail


def _assemble(announced: Intake, mail: Intake, letter: Letter, said: MssHeaders) -> None:
    """The same mail under a header with these fields."""
    body = mail.trace_bytes + len(format_letter_header(letter))
    announced.write(format_letter_header(replace(letter, fields=(*said.fields(), *letter.fields))))
    for start in range(body, mail.size_bytes, READ_BYTES):
        announced.write(mail.read(start, start + READ_BYTES))
    announced.finish()


def write_mail(
    write: Callable[[bytes], object], letter: Letter, nonce: str, files: Iterator[FileToAttach]
) -> bool:
    """Write a mail whose attachments come one after the other and are not counted beforehand. Whether one is an archive.

    Each file is taken to its end before the next is asked for. Raises Malformed for a header that cannot be written.
    """
    head, body = format_letter_header(letter), format_text_entity(letter, nonce)
    first = next(files, None)
    if first is None:
        write(head + body)
        return False
    boundary = format_boundary(nonce, "m")
    write(head + format_multipart_field("mixed", boundary) + format_delimiter(boundary) + body)
    has_archive = False
    for each in chain([first], files):
        file = replace(each, filename="IHE_XDM.zip") if _COPY.fullmatch(each.filename) else each
        has_archive |= is_archive_name(file.filename)
        write(format_delimiter(boundary))
        for chunk in stream_attachment(file):
            write(chunk)
    write(format_delimiter(boundary, is_last=True))
    return has_archive
