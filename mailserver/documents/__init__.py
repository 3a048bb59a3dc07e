"""Health documents, pure: XDM archives, ebRIM metadata, CDA headers, their coherence, codes, display and records.

Invariants: no I/O but this package's own data files, no clock, no randomness. Whatever the bytes, the entry point
``coherence.read_documents`` returns a reading or a ``SetAside``, within bounded memory and time (security S6, S12).
"""
