"""IMAP4 (RFC 3501, RFC 9051): a pure protocol core, then connections and verbs that use it."""
