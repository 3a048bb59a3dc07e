"""TLS profiles of every listening and calling side, and the memory of why a peer's handshake failed."""
