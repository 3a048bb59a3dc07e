"""Receipts are the store's to make, and one module alone opens documents for showing (security.md L10)."""

import ast

from architecture.source_tree import Source, product_sources

STORE = "mailserver/store/"
OPENERS = {"mailserver/service/space_documents.py"}
MAKER = "mailserver/audit/receipt.py"
SEALERS = {"mailserver/service/filing.py", *OPENERS}
"""Who may speak of a document's key: who seals it at filing and who opens it for its receipt."""


def names_in(source: Source) -> set[str]:
    """Every name that a module imports, reads or calls."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
                found |= {alias.name.rpartition(".")[2] for alias in aliases}
            case _:
                pass
    return found


def users_of(name: str) -> set[str]:
    return {source.path for source in product_sources() if name in names_in(source)}


def test_only_the_store_makes_receipts() -> None:
    makers = users_of("receipt_token_for_store") - {MAKER}
    assert makers
    assert all(path.startswith(STORE) for path in makers), makers


def constructors_of(name: str) -> set[str]:
    return {
        source.path
        for source in product_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    }


def test_only_the_store_constructs_them() -> None:
    constructing = constructors_of("ReadReceipt")
    assert all(path.startswith(STORE) for path in constructing), constructing


def test_leave_to_read_bodies_is_made_where_it_is_logged() -> None:
    assert constructors_of("MailPermit") == {"mailserver/service/mail_permit.py"}


def test_one_module_opens_documents() -> None:
    assert users_of("document_info") == SEALERS


def test_one_function_uses_up_a_receipt() -> None:
    (path,) = OPENERS
    (source,) = [each for each in product_sources() if each.path == path]
    consuming = [
        function.name
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, ast.Attribute) and node.attr == "consume" for node in ast.walk(function))
    ]
    assert consuming == ["_show"]
    assert "find_blob" in names_in(source)


def test_showing_consumes_before_it_opens() -> None:
    (path,) = OPENERS
    (source,) = [each for each in product_sources() if each.path == path]
    decrypting = [
        function.name
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, ast.Name) and node.id == "Decryptor" for node in ast.walk(function))
    ]
    assert decrypting == ["_show"]
    (show,) = [
        node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef) and node.name == "_show"
    ]
    first = next(node for node in show.body if not isinstance(node.value, ast.Constant))
    assert ast.unparse(first).startswith("receipt.consume(")


def test_one_function_opens_kept_files_and_consumes_first() -> None:
    (source,) = [each for each in product_sources() if each.path == "mailserver/service/kept_fetching.py"]
    opening = [
        function
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, ast.Name) and node.id == "Decryptor" for node in ast.walk(function))
    ]
    assert [each.name for each in opening] == ["_reader"]
    consumes = next(
        node for node in opening[0].body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    )
    assert ast.unparse(consumes).startswith("receipt.consume(")
    assert users_of("open_contents") == {
        "mailserver/service/kept_files.py",
        "mailserver/service/kept_fetching.py",
    }


# --- the index of texts: reading it is reading bodies (L1), and what is read there is for no encoder (L10)

INDEX = "mailserver/service/search_index.py"
TEXTS = "mailserver/service/text_segment.py"
SEARCHERS = {"mailserver/imap/text_candidates.py", "mailserver/imap/candidates.py"}
"""Where SEARCH looks at texts; what it answers is numbers."""


def test_one_module_opens_text_segments() -> None:
    assert users_of("parse_segment") == {INDEX}


def test_texts_of_the_index_reach_no_encoder() -> None:
    assert users_of("TextSegment") | users_of("TextEntry") == {INDEX, TEXTS, *SEARCHERS}


def test_opening_segments_asks_for_leave_first() -> None:
    (source,) = [each for each in product_sources() if each.path == INDEX]
    (opening,) = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef) and node.name == "open_segments"
    ]
    assert ast.unparse(opening.body[1]).startswith("permit.demand_all(")
    callers = [
        function.name
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, ast.Name) and node.id == "_open" for node in ast.walk(function))
    ]
    assert callers == ["open_segments"]
