"""The fuzz targets by name: each takes any octets and fails only when the product is wrong.

``explore`` gives them octets that reach new code, ``test_fuzz_corpus`` those that are kept in ``corpus/NAME``.
"""

from collections.abc import Callable
from pathlib import Path

from fuzz import document_targets, imap_targets, mail_targets, web_targets

CORPUS = Path(__file__).parent / "corpus"

TARGETS: dict[str, Callable[[bytes], None]] = {
    "imap_framing": imap_targets.frame_imap,
    "imap_command": imap_targets.parse_imap_command,
    "imap_search": imap_targets.parse_imap_search,
    "imap_sequence_set": imap_targets.parse_imap_sequence_set,
    "imap_names": imap_targets.parse_imap_names,
    "imap_envelope": imap_targets.read_imap_envelope,
    "mime_message": mail_targets.scan_message,
    "mime_header": mail_targets.read_header,
    "mime_value": mail_targets.read_header_value,
    "mime_decoding": mail_targets.decode_content,
    "absence": mail_targets.read_absence,
    "mime_notice": mail_targets.read_notice,
    "mime_bounce": mail_targets.read_bounce,
    "summary": mail_targets.read_summary,
    "smtp_lines": mail_targets.parse_smtp_lines,
    "smtp_data": mail_targets.read_smtp_data,
    "xdm_archive": document_targets.read_xdm_archive,
    "xdm_metadata": document_targets.parse_xdm_metadata,
    "cda": document_targets.parse_clinical_document,
    "document_record": document_targets.read_document_record,
    "trust_list": document_targets.read_trust_list,
    "web_form": web_targets.read_form,
    "web_small_form": web_targets.read_small_form,
}
