"""The SMTP edge: the MX port between operators and the submission ports (RFC 5321, RFC 6409, RFC 8314)."""
