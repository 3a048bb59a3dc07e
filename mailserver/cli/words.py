"""Error codes → sentences for an administrator: what happened, why, what to do."""

from mailserver.model.errors import PliError

_WORDS = {
    "account-disabled": "This account is disabled: nothing opens it, so it gets no app password. Use another account.",
    "app-password": "This account has no app password of that id. See: pli account app-password --list",
    "account": "No account has this address. See: pli account list",
    "address-syntax": "This is not a mail address. Write it as name@domain.",
    "address-taken": "This address already has an account. Choose another, or see: pli account list",
    "contact-email": "The contact e-mail is not a mail address. Write it as name@domain.",
    "custodian": "The keys are in use by another process that does not answer. Wait, or stop that process.",
    "custodian-busy": "The keys are in use by another process. Wait, or stop that process.",
    "database": "The database does not answer. Check that it runs and that pli.toml names it rightly.",
    "demo-authority": "The demonstration authority is damaged or not whole. Choose an empty folder for another one.",
    "disk-full": "The disk is full. Free some space and try again: nothing was half-written.",
    "disk-io": "The disk failed to write. Check it before starting again; nothing unwritten was acknowledged.",
    "domain-not-ours": "The address is in a domain that this server does not hold. See domains in pli.toml.",
    "domain-repeated": "A domain is named twice. Name each of them once.",
    "domain-syntax": "This is not a domain name. Write it as sante.example.",
    "fields": "These are not the fields of an account: {detail}.",
    "folder-in-use": "The folder already holds a pli.toml. Choose another folder, or remove that file.",
    "ins-key": "The control key of the insurance number is wrong. Check its fifteen characters.",
    "ins-needed": "A patient needs --ins OID|NUMBER. The test OID is 1.2.250.1.213.1.4.10.",
    "ins-number": "The insurance number must have fifteen characters, key included.",
    "ins-oid": "The part before | must be an OID, such as 1.2.250.1.213.1.4.8.",
    "ins-syntax": "Write the identity as OID|NUMBER.",
    "ins-taken": "This person already has a space here. See: pli account list",
    "ins-unexpected": "Only a patient has an insurance identity. Leave --ins out, or use --kind PATIENT.",
    "keys": "There are no keys in the keys folder. Make them with: pli init",
    "log-empty": "The log has no signed checkpoint yet. Start the server, wait a minute, and try again.",
    "log-late": "Entries of the access log wait for their signature, so nothing is released. See the server's log.",
    "log-fork": "The store's log is not the one that was signed: it was rolled back or altered. Do not serve from "
    "this store; compare it with the last backup.",
    "login": "Address or secret not accepted. Check both; the account may be disabled.",
    "member": "A member must be a person (kind PER) who has an account here. Add them first.",
    "member-already": "This person is a member of the box already. See: pli account member list",
    "members-unexpected": "Only ORG and CAB accounts have members.",
    "password-long": "The password is too long. Give at most 1024 bytes of UTF-8.",
    "password-short": "The password is too short: at least 9 characters. Several words that do not belong together are "
    "easy to keep in mind and hard to guess.",
    "port-in-use": "{detail} is in use by another program. Stop it, or choose another port.",
    "release-rate": "Too many acts on this account in an hour. Wait, then try again.",
    "row-mac": "A row of the database was altered by hand or is damaged. Run: pli check",
    "tls-authority": "The authority's certificate cannot be used. See peer_authority (and peer_crl) in [tls] of pli.toml.",
    "tls-certificate": "A certificate or its key cannot be used. See certificate, key, peer_certificate and peer_key "
    "in [tls] of pli.toml: the files must exist and belong together.",
    "scope": "This secret may not open that. Use the person's web password.",
    "shared-box-has-members": "A shared box has members, not app passwords. Add them with: pli account member add",
    "secret-encoding": "The secret on standard input is not in UTF-8. Give it in that encoding.",
}


def words_for(error: PliError) -> str:
    """The sentence of an error, with its detail where the sentence asks for it; an unlisted code is named as it is."""
    unlisted = f"Refused: {error.code}{f' ({error.detail})' if error.detail else ''}."
    return _WORDS.get(error.code, unlisted).replace("{detail}", error.detail)
