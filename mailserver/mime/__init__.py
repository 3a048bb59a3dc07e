"""Mail as octets: MIME tree with offsets, headers, IMAP structures, summaries, decoding and our own writer.

Pure: standard library and ``mailserver.model`` only, no clock, no randomness. For arbitrary octets only
Malformed and OverLimit escape; a message whose structure cannot be read is one opaque part (S12).
"""
