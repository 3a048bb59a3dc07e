"""Error codes → sentences for an administrator: what happened, why, what to do."""

from mailserver.model.errors import Corrupt, PliError, Unavailable

_WORDS = {
    "account": "No account has this address. See: pli account list",
    "account-disabled": "This account is disabled: nothing opens it, so it gets no password. Use another account.",
    "address-syntax": "This is not a mail address. Write it as name@domain.",
    "address-taken": "This address already has an account. Choose another, or see: pli account list",
    "app-password": "This account has no app password of that id. See: pli account app-password --list",
    "away-colleague": "The colleague cannot be written to ({detail}). Give another person's address, here or in a listed health domain.",
    "away-days": "Give the days as 2026-12-24: the last one not before the first nor in the past, a year at most.",
    "away-emergency": "The emergency text is one line of 512 bytes at most, without control characters.",
    "away-patient": "A patient's space is never away. Give a professional's address, or a service's.",
    "away-syntax": "Give --until with the texts to set, or --show alone, or --off alone.",
    "away-text": "The text is 2048 bytes of plain text at most, without control characters. Shorten it.",
    "bounces-answer": "The server of the bounce mailbox answers with what is no IMAP, or refuses an act. Its log says more.",
    "bounces-connection": "The server of the bounce mailbox does not answer. Check host and port in [bounces] of pli.toml; it is "
    "tried again by itself.",
    "bounces-login": "The bounce mailbox refuses the login. Check user and password_file in [bounces] of pli.toml.",
    "bounces-mailbox": "The bounce mailbox has no folder of that name. Check mailbox in [bounces] of pli.toml.",
    "bounces-name": "The name of the bounce mailbox's server has no address. Check host in [bounces] of pli.toml, and the name "
    "servers.",
    "bounces-password": "The password of [bounces] cannot be used: {detail}. See password_file in pli.toml.",
    "bounces-timeout": "The server of the bounce mailbox is too slow. It is tried again by itself.",
    "bounces-tls": "No secure connection to the bounce mailbox. Check port in [bounces] of pli.toml: it must be one of TLS at once.",
    "bounces-tls-authority": "The certificate of the bounce mailbox's server is not of an authority that is trusted, or not in its "
    "time. See authority in [bounces] of pli.toml.",
    "bounces-tls-host": "The certificate of the bounce mailbox's server is for another name. Check host in [bounces] of pli.toml.",
    "certificate-over": "This certificate is no longer valid. Give the one that is in use.",
    "certificate-syntax": "This file is no certificate. Give one in PEM or DER.",
    "certificate-usage": "This certificate is not made for clients (extended key usage clientAuth). Ask its authority for one that is.",
    "certificates-off": "Mail clients are asked for no certificate. Name client_authority in [tls] of pli.toml first.",
    "contact-email": "The contact e-mail is not a mail address. Write it as name@domain.",
    "custodian": "The keys are in use by another process that does not answer. Wait, or stop that process.",
    "custodian-busy": "The keys are in use by another process. Wait, or stop that process.",
    "custodian-journal": "The custodian could not write its journal, so nothing was done. Look at the disk of the keys folder.",
    "custodian-keys": "The keys file is damaged. Put the keys folder back from its own backup.",
    "custody-slot": "This account is not in custody: only its owner can open it, with their own secret. Whoever lost that one "
    "loses what the account holds, and can have a new account under another address.",
    "database": "The database does not answer. Check that it runs and that pli.toml names it rightly.",
    "database-busy": "The database is busy. Try again in a moment.",
    "demo-authority": "The demonstration authority is damaged or not whole. Choose an empty folder for another one.",
    "demo-folder": "Something else than a demonstration lies in this folder, and would be lost: the demonstration makes its folder anew. "
    "Choose another one with --dir, or an empty one.",
    "disk-full": "The disk is full. Free some space and try again: nothing was half-written.",
    "disk-io": "The disk failed to write. Check it before starting again; nothing unwritten was acknowledged.",
    "dkim-key": "The key that signs notices cannot be used: {detail}. See dkim_key in [relay] of pli.toml.",
    "domain-not-ours": "The address is in a domain that this server does not hold. See domains in pli.toml.",
    "domain-repeated": "A domain is named twice. Name each of them once.",
    "domain-syntax": "This is not a domain name. Write it as sante.example.",
    "fields": "These are not the fields of an account: {detail}.",
    "folder-in-use": "There is a server in this folder already: it holds a pli.toml. Choose another folder.",
    "harden-rate": "Too many passwords were tried on this account. Wait a minute, then try again.",
    "ins-key": "The control key of the insurance number is wrong. Check its fifteen characters.",
    "ins-needed": "A patient needs --ins OID|NUMBER. The test OID is 1.2.250.1.213.1.4.10.",
    "ins-number": "The insurance number must have fifteen characters, key included.",
    "ins-oid": "The part before | must be an OID, such as 1.2.250.1.213.1.4.8.",
    "ins-syntax": "Write the identity as OID|NUMBER.",
    "ins-taken": "This person already has a space here. See: pli account list",
    "ins-unexpected": "Only a patient has an insurance identity. Leave --ins out, or use --kind PATIENT.",
    "job": "The queue has no job of that id. See: pli queue list",
    "job-busy": "A worker tries this job at this moment. Try again in a few minutes.",
    "job-held": "This job is held. Let it go first: pli queue release",
    "job-not-held": "This job is not held. See: pli queue show",
    "job-over": "This job is over: sent, returned or removed. See: pli queue show",
    "job-syntax": "A job's id is 32 hexadecimal digits. See: pli queue list",
    "keys": "There are no keys where keys in [store] of pli.toml says. Put that folder back from its own backup: nothing in "
    "the data folder opens without it. For a new server: pli init, in another folder.",
    "keys-disk": "The disk of the keys folder refuses. Check it before trying again.",
    "keys-exist": "The folder already holds keys. Choose another folder: whoever removes keys can never open what they sealed.",
    "keys-mode": "Others may enter the keys folder or read a file in it. Take their rights away: chmod -R go= on that folder.",
    "log-broken": "The log in this store is not whole in itself ({detail}), so it cannot go on from here. Put back a backup in which "
    "pli check finds no more than a log that is shorter than what was signed.",
    "log-empty": "The log has no signed checkpoint yet. Start the server, wait a minute, and try again.",
    "log-reason": "Give the reason as one line of at most 150 characters: every person reads it in their log.",
    "log-receipt": "This file is no receipt. Give one that pli audit export --receipt wrote, as it was written.",
    "log-size": "The log is shorter than when that receipt was made: it was rolled back, or the receipt is another "
    "log's. Keep the receipt, and compare the store with the last backup.",
    "log-fork": "The store's log is not the one that was signed: it was rolled back or altered. Do not serve from "
    "this store; compare it with the last backup. When that backup was put back on purpose: pli log reopen",
    "log-late": "Entries of the access log wait for their signature, so nothing is released. See the server's log.",
    "log-lease": "Another process keeps the log. Wait a minute, then try again.",
    "log-origin": "The log was begun under another name. Put hostname in [operator] of pli.toml back to what it was.",
    "log-state": "The signer's record of the log (log-signer.sqlite in the keys folder) is missing or cannot be used. Put the keys "
    "folder back from its own backup.",
    "log-tile": "A part of the signed log is missing. Run: pli check",
    "log-whole": "This store's log is the one that was signed: nothing is to be reopened. See: pli check",
    "login-binding": "Nothing of that kind is bound to this account. See it with --list.",
    "login-bindings": "The custodian's file of logins cannot be used. Look at the disk of the keys folder.",
    "login-bound": "This is bound to the account already. See it with --list.",
    "login-kind": "This kind of account does not log in so: tokens are for PER and APP, certificates for APP alone. Members of a "
    "shared box log in as themselves.",
    "login-subject": "This is not a subject: one line of at most 4096 characters.",
    "login": "Address or secret not accepted. Check both; the account may be disabled.",
    "last-member": "This is the only member of the box: nobody would read the mail that it goes on taking. Name another first, with: "
    "pli account member add",
    "member": "A member must be a person (kind PER) who has an account here. Add them first.",
    "member-already": "This person is a member of the box already. See: pli account member list",
    "members-unexpected": "Only ORG and CAB accounts have members.",
    "name-needed": "The account needs a name. Give --name, or name on standard input with --fields-stdin.",
    "relay-password": "The password of [relay] cannot be used: {detail}. See password_file in pli.toml.",
    "no-member": "This person is no member of this box. See: pli account member list",
    "no-second-factor": "There is nowhere to send login codes to. Give an address or a telephone first, with: pli account contact "
    "--fields-stdin",
    "not-responsible": "Only who is responsible for the box reads its log. See: pli account member list",
    "notice-in-hand": "This notice is being sent, or its account changed, at this moment. Give the report again in a minute.",
    "oauth-off": "No issuer of tokens is configured. Name issuer in [oauth] of pli.toml first.",
    "password-long": "The password is too long. Give at most 1024 bytes of UTF-8.",
    "password-short": "The password is too short: at least 9 characters. Several words that do not belong together are "
    "easy to keep in mind and hard to guess.",
    "port-in-use": "{detail} is in use by another program. Stop it, or choose another port.",
    "phone-country": "No SMS go to numbers of that country. Add it to prefixes in [sms] of pli.toml, or give another number.",
    "phone-syntax": "This is not a telephone number. Write it as +33612345678.",
    "release-rate": "Too many acts on this account in an hour. Wait, then try again.",
    "route-syntax": "A route is not host:port. See routes in [trust] of pli.toml, and the file that routes_file names.",
    "row-mac": "A row of the database was altered by hand or is damaged. Run: pli check",
    "scope": "This secret may not open that. Use the person's web password.",
    "secret-empty": "Nothing was given on standard input. Give the secret there, on one line.",
    "secret-encoding": "The secret on standard input is not in UTF-8. Give it in that encoding.",
    "server-runs": "A server, or another command, has the keys open. Stop it first: nothing may be written meanwhile.",
    "shared-box-has-members": "A shared box has members, who log in as themselves, and no password of its own. Add them with: pli account member add",
    "slot": "This secret is not there any more. Look at what the account has, then try again.",
    "stopping": "The server is stopping. Try again when it runs.",
    "sms-token": "The token of [sms] cannot be used: {detail}. See token_file in pli.toml.",
    "tls-authority": "An authority's certificates cannot be used. See peer_authority and client_authority in [tls] of pli.toml: the file must "
    "exist and hold certificates in PEM.",
    "tls-certificate": "A certificate or its key cannot be used. See certificate, key, peer_certificate and peer_key "
    "in [tls] of pli.toml: the files must exist and belong together.",
    "tls-purpose": "This Python cannot take a server certificate from a caller ({detail}). Set "
    "peer_server_certificate_suffices = false in [tls] of pli.toml.",
    "tls-revocation": "The revocation list cannot be used. See client_crl in [tls] of pli.toml: a PEM file of that authority, or empty.",
    "trust-list-disk": "The disk refuses to keep the trust list. Check its space, and that the server may write to the folder of "
    "the list.",
    "trust-list-name": "No trust list in pli.toml has that name. See: pli trust status",
    "unwrap": "A key does not open what it should: the keys folder and the data folder are not of one server, or one is damaged. "
    "Put both back from the backups of one day, and run: pli check",
    "web-authority": "A file that authority in [trust], [relay], [bounces] or [sms] of pli.toml names cannot be used. It must be a PEM file of certificates.",
}
_OF_KIND: dict[type[PliError], str] = {
    Corrupt: "Something stored is damaged, or was altered by hand ({code}). Run: pli check",
    Unavailable: "Something that Pli needs does not answer ({code}). Try again; the server's log may say more.",
}
"""For a code without words of its own."""


def words_for(error: PliError) -> str:
    """The sentence of an error, with its detail where the sentence asks for it."""
    unlisted = f"Refused: {error.code}{f' ({error.detail})' if error.detail else ''}."
    words = _WORDS.get(error.code) or _OF_KIND.get(type(error), unlisted)
    return words.replace("{code}", error.code).replace("{detail}", error.detail)
