"""BODYSTRUCTURE by its grammar (RFC 9051 §9 body), and the sections that its parts have (§6.4.5.1)."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.imap_strict import Value


@dataclass(frozen=True)
class Leaf:
    """A part that is no multipart; ``lines`` None when its type has no line count."""

    section: str
    content_type: str
    encoding: str
    size_bytes: int
    lines: int | None

    @property
    def is_message(self) -> bool:
        return self.content_type in {"message/rfc822", "message/global"}


def leaves(tree: Value, *, has_extensions: bool) -> list[Leaf]:
    """Every part of a body that holds no parts of a multipart; AssertionError when a field is not its grammar's."""
    return list(_body(tree, "", is_message_body=True, has_extensions=has_extensions))


def _body(tree: Value, prefix: str, *, is_message_body: bool, has_extensions: bool) -> Iterator[Leaf]:
    """``prefix`` is the section of a part, or of the message whose body this is."""
    assert isinstance(tree, list)
    assert tree
    if isinstance(tree[0], list):
        yield from _multipart(tree, prefix, has_extensions=has_extensions)
        return
    section = _joined(prefix, "1") if is_message_body else prefix
    media_type, subtype, parameters, content_id, description, encoding, size_bytes, *rest = tree
    for text in (media_type, subtype, encoding):
        assert isinstance(text, bytes)
        assert text
    assert isinstance(size_bytes, int)
    _parameters(parameters)
    for text in (content_id, description):
        assert text is None or isinstance(text, bytes)
    content_type = f"{media_type.decode()}/{subtype.decode()}".lower()
    lines = None
    inner: list[Leaf] = []
    if content_type in {"message/rfc822", "message/global"}:
        envelope, body, lines, *rest = rest
        check_envelope(envelope)
        inner = list(_body(body, section, is_message_body=True, has_extensions=has_extensions))
    elif media_type.lower() == b"text":
        lines, *rest = rest
    assert lines is None or isinstance(lines, int)
    assert (len(rest) > 0) == has_extensions
    if rest:
        md5, *rest = rest
        assert md5 is None or isinstance(md5, bytes)
    _extensions(rest)
    yield Leaf(section, content_type, encoding.decode().lower(), size_bytes, lines)
    yield from inner


def _multipart(tree: list[Value], prefix: str, *, has_extensions: bool) -> Iterator[Leaf]:
    count = next(at for at, each in enumerate(tree) if not isinstance(each, list))
    subtype, *rest = tree[count:]
    assert isinstance(subtype, bytes)
    assert (len(rest) > 0) == has_extensions
    if rest:
        parameters, *rest = rest
        _parameters(parameters)
    _extensions(rest)
    for number, child in enumerate(tree[:count], 1):
        yield from _body(
            child, _joined(prefix, str(number)), is_message_body=False, has_extensions=has_extensions
        )


def _joined(prefix: str, number: str) -> str:
    return f"{prefix}.{number}" if prefix else number


def _parameters(value: Value) -> None:
    """body-fld-param: pairs of strings, or NIL; never an empty list."""
    if value is not None:
        assert isinstance(value, list)
        assert value
        assert len(value) % 2 == 0
        assert all(isinstance(each, bytes) for each in value)


def _extensions(rest: list[Value]) -> None:
    """body-fld-dsp, body-fld-lang, body-fld-loc."""
    assert len(rest) <= 3
    disposition, language, location = [*rest, None, None, None][:3]
    if disposition is not None:
        assert isinstance(disposition, list)
        kind, parameters = disposition
        assert isinstance(kind, bytes)
        _parameters(parameters)
    languages = language if isinstance(language, list) else [language]
    assert languages
    assert all(each is None or isinstance(each, bytes) for each in [*languages, location])


def check_envelope(value: Value) -> None:
    """RFC 9051 §9 envelope."""
    assert isinstance(value, list)
    assert len(value) == 10
    date, subject, *people, reply, message_id = value
    for text in (date, subject, reply, message_id):
        assert text is None or isinstance(text, bytes)
    for addresses in people:
        assert addresses is None or addresses
        for address in addresses or []:
            assert isinstance(address, list)
            assert len(address) == 4
            assert all(each is None or isinstance(each, bytes) for each in address)
