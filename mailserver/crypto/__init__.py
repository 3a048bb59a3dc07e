"""Keys, seals and the custodian: the only package that imports ``cryptography``.

Importing it proves first that the hybrid key exchange is there: a server without it refuses to start.
"""

from mailserver.crypto.hybrid import demand_hybrid

demand_hybrid()
