"""The access log: what happened, sealed for the person, chained, and anchored in a signed Merkle tree (L1–L14).

Pure but for ``signer``, which keeps the custodian's own state file. No clock and no randomness: times, salts and
ids are arguments.
"""
