"""What is said of trust lists: the steps of checking one, and why a list or its fetch was refused, with what to do."""

from mailserver.cli.words import words_for
from mailserver.model.errors import Unavailable
from mailserver.policy.trust_steps import Step, find_step

STEPS: dict[Step, str] = {
    Step.PLAIN: "the file is plain text of at most 32 MiB, without DOCTYPE, comment or processing instruction",
    Step.ONE_SIGNATURE: "it holds one signature, last in the root, of the one accepted shape",
    Step.PINNED: "the signer's certificate is one that pli.toml names",
    Step.IN_TIME: "that certificate is in its time, and for signatures",
    Step.SIGNED: "its key made the signature",
    Step.CANONICAL: "the signed text has default namespaces and no attribute",
    Step.DIGEST: "the signature is over this very text",
    Step.LIST: "the text is a trust list with a date",
    Step.NOT_FROM_THE_FUTURE: "its date has come",
    Step.NOT_OLDER: "it is not older than the list in force",
    Step.NAMES_SOMEBODY: "it names domains, and is not too old",
}
_FETCH_IT_AGAIN = "Fetch the file again from where it is published, and as it is: no editor, no conversion."
_WRONG_AT_THE_SOURCE = "If a fresh copy is refused too, tell whoever publishes the list."
_OF_STEP: dict[Step, str] = {
    Step.PLAIN: f"This is not a plain text file of a trust list. {_FETCH_IT_AGAIN} {_WRONG_AT_THE_SOURCE}",
    Step.ONE_SIGNATURE: f"It is not signed in the one way that is accepted. {_FETCH_IT_AGAIN} {_WRONG_AT_THE_SOURCE}",
    Step.SIGNED: f"The signature is not of the certificate's key. {_FETCH_IT_AGAIN} {_WRONG_AT_THE_SOURCE}",
    Step.CANONICAL: f"The text is not in the plain form of a trust list. {_FETCH_IT_AGAIN} {_WRONG_AT_THE_SOURCE}",
    Step.DIGEST: f"The text was changed after it was signed, or cut. {_FETCH_IT_AGAIN}",
    Step.LIST: f"What was signed is no trust list in the known form. {_WRONG_AT_THE_SOURCE}",
}
_OF_CODE = {
    "trust-list-unreadable": "The file is not there, or this account may not read it. Put the list there, or name its url in [trust].",
    "xml-length": "The file is over 32 MiB. Check that it is the trust list.",
    "xml-unsigned": "The file is not signed, so nobody vouches for it. Fetch the signed list from where it is published.",
    "xml-signer-not-pinned": "Another certificate signed it than those of signers (further_signers) in [trust] of pli.toml. If the "
    "signer has changed, have the new fingerprint confirmed by another way than the list's own, then add it there.",
    "xml-signer-name": "The certificate is pinned, and its name is not one of signer_names in [trust] of pli.toml. Compare the "
    "two, and correct whichever is wrong.",
    "xml-signer-expired": "The signer's certificate is past its time, or its time has not come. Check this machine's clock; then ask "
    "whoever publishes the list for one signed with a certificate in its time.",
    "xml-signer-usage": "The signer's certificate may not sign, or its key is too weak. Tell whoever publishes the list.",
    "trust-list-from-future": "It was generated in the future. Check this machine's clock.",
    "trust-list-older": "A newer list is in force, and an older one never takes its place. Fetch the newest.",
    "trust-list-empty": "It names nobody, so nobody would be trusted. Tell whoever publishes the list.",
    "trust-list-stale": "It is older than stale_hours in [trust] of pli.toml, so nobody is trusted. Fetch the newest.",
    "fetch-name": "The name in the list's address has no address on the network. Check url in [trust], and the name servers.",
    "fetch-connection": "The list's server does not answer. Check the network and the firewall; it is tried again by itself.",
    "fetch-tls": "No secure connection to the list's server. Its TLS is too old, or something stands between.",
    "fetch-tls-authority": "The certificate of the list's server is not of an authority that is trusted, or not in its time. See "
    "authority in [trust] of pli.toml.",
    "fetch-tls-host": "The certificate of the list's server is for another name. Check url in [trust] of pli.toml.",
    "fetch-timeout": "The list's server is too slow. It is tried again by itself.",
    "fetch-status": "The list's server answered with a failure. It is tried again by itself.",
    "fetch-redirect": "The list's server sends elsewhere, which is not followed. Put the new address in url of [trust], once it is "
    "confirmed.",
    "fetch-length": "The answer is over 32 MiB. Check url in [trust] of pli.toml.",
    "fetch-answer": "The answer does not follow HTTP. Check url in [trust] of pli.toml.",
    "fetch-truncated": "The connection ended before the list did. It is tried again by itself.",
}


def words_for_code(code: str) -> str:
    """What a refused list or a failed fetch means, and what to do."""
    step = find_step(code)
    of_step = _OF_STEP.get(step) if step is not None else None
    return _OF_CODE.get(code) or of_step or words_for(Unavailable(code))
