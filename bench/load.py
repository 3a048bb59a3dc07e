"""What every command of the load client works with: the options as values, and where a connection may go."""

import argparse
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.imap_client import ImapClient, ImapTarget
from bench.meter import Run, summary
from bench.samples import Pool
from bench.smtp_client import SmtpTarget


@dataclass(frozen=True, slots=True)
class Load:
    """The options as values."""

    smtp: SmtpTarget
    imap: ImapTarget | None
    accounts: dict[str, str]
    sender: str
    pids: list[int]
    options: argparse.Namespace

    @property
    def addresses(self) -> list[str]:
        return list(self.accounts)

    def recipients_of(self, number: int) -> list[str]:
        """The next ``--copies`` accounts in turn."""
        first, addresses = number * self.options.copies, self.addresses
        return [addresses[(first + at) % len(addresses)] for at in range(self.options.copies)]

    def pool(self) -> Pool:
        return Pool(self.options.size, self.sender, self.addresses[0], self.options.variants)

    async def opened(self, address: str, mailbox: str | None = None) -> ImapClient:
        """A logged-in connection, with ``mailbox`` selected."""
        assert self.imap is not None
        client = await ImapClient.connected(self.imap)
        await client.login(address, self.accounts[address])
        if mailbox is not None:
            await client.command(f"SELECT {mailbox}")
        return client


def parse_endpoint(text: str) -> tuple[str, int]:
    """Raises ValueError for anything outside 127.0.0.0/8."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"127\.\d+\.\d+\.\d+", host):
        raise ValueError("only 127.0.0.0/8 is ever a target")
    return host, int(port)


def tls_context(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """The server's certificate is not checked: the figures are of a server that we started ourselves."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


async def repeated(load: Load, once: Callable[[], Awaitable[Run]]) -> dict[str, object]:
    return summary([await once() for _ in range(load.options.runs)])
