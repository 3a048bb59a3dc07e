"""The base subject of a message: what is left of a subject without the marks of replies, forwards and lists.

RFC 5256 §2.1. One pass over each layer, so that no subject takes more than its length times its layers.
"""

import re

# subj-blob = "[" *BLOBCHAR "]" *WSP; BLOBCHAR is anything but brackets
_BLOB = r"\[[^\[\]]*+\] *+"
# subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_REFWD = rf"(?:re|fwd?) *+(?:{_BLOB})?+:"
# subj-leader = (*subj-blob subj-refwd) / WSP
_LEADERS = re.compile(rf"(?:(?:{_BLOB})*+{_REFWD}| )++", re.IGNORECASE)
_BLOBS = re.compile(rf"(?:{_BLOB})++")
_SPACES = re.compile(r"[ \t]{2,}+|\t")
_FWD_TRAILER = "(fwd)"
_FWD_HEADER, _FWD_END = "[fwd:", "]"


def find_base(subject: str) -> tuple[str, bool]:
    """The base subject of a decoded subject, and whether it was a reply or a forward (RFC 5256 §2.1, §2.2)."""
    text, is_reply = _collapse(subject), False
    if "[" not in text:  # no blobs, no forward as a whole
        text, is_reply = _cut_trailers(text)
        leaders = _LEADERS.match(text) if ":" in text else None
        if leaders is None:
            return text.lstrip(" "), is_reply
        return text[leaders.end() :], is_reply or ":" in leaders[0]
    while True:
        # 2. trailers
        text, was_forwarded = _cut_trailers(text)
        # 3. to 5. leaders and blobs
        text, was_answered = _cut_leaders(text)
        is_reply = is_reply or was_forwarded or was_answered
        # 6. a forward as a whole
        if not (text[:5].lower() == _FWD_HEADER and text.endswith(_FWD_END)):
            return text, is_reply
        text, is_reply = text[len(_FWD_HEADER) : -len(_FWD_END)], True


def _collapse(subject: str) -> str:
    return _SPACES.sub(" ", subject) if "  " in subject or "\t" in subject else subject


def _cut_trailers(text: str) -> tuple[str, bool]:
    text, is_forward = text.rstrip(" "), False
    while text[-len(_FWD_TRAILER) :].lower() == _FWD_TRAILER:
        text, is_forward = text[: -len(_FWD_TRAILER)].rstrip(" "), True
    return text, is_forward


def _cut_leaders(text: str) -> tuple[str, bool]:
    """Blobs that no leader follows go all at once, but for the last one when nothing else is left."""
    is_reply = False
    while True:
        leaders = _LEADERS.match(text)
        if leaders is not None:
            is_reply = is_reply or ":" in leaders[0]
            text = text[leaders.end() :]
        blobs = _BLOBS.match(text)
        if blobs is None:
            return text, is_reply
        if blobs.end() == len(text):
            return text[text.rindex("[") :], is_reply
        text = text[blobs.end() :]
