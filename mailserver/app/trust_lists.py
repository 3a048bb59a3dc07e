"""The trust lists of the configuration, opened: a bad or absent list trusts nobody."""

from datetime import UTC, datetime, timedelta

from mailserver.config import Config, ConfigError
from mailserver.crypto.x509 import DistinguishedName, parse_dn
from mailserver.crypto.xmldsig import PinnedSigner
from mailserver.model.errors import Malformed
from mailserver.policy.trust_source import SourcePlan, TrustSource
from mailserver.policy.trust_steps import ListRule
from mailserver.policy.trust_store import TrustStore


def open_trust_store(config: Config, *, keeps: bool = False) -> TrustStore:
    """Every list, loaded. ``keeps``: see TrustSource. Raises what ``plan_sources`` does."""
    sources = [TrustSource(plan, config.data_folder, keeps=keeps) for plan in plan_sources(config)]
    trust = TrustStore(sources)
    trust.load(datetime.now(UTC))
    return trust


def plan_sources(config: Config) -> list[SourcePlan]:
    """The list of ``file``, then the further ones. Raises ConfigError for keys that do not fit together, and for a
    signer's name that is none.
    """
    trust = config.trust
    _check_lists(config)
    age = timedelta(hours=trust.stale_hours)
    names = frozenset(_parse_name(name) for name in trust.signer_names)
    main = ListRule(PinnedSigner(frozenset(trust.signers), names), age)
    plans = [SourcePlan(config.path(trust.file), main, url=trust.url)]
    for name, file in trust.further.items():
        rule = ListRule(PinnedSigner(frozenset(trust.further_signers[name].split())), age)
        plans.append(SourcePlan(config.path(file), rule, name, trust.further_urls.get(name, "")))
    return plans


def _check_lists(config: Config) -> None:
    """Each further list has its file and its signers, and no two lists are one file."""
    trust = config.trust
    has_strangers = not trust.further_urls.keys() <= trust.further.keys()
    if trust.further.keys() != trust.further_signers.keys() or has_strangers:
        raise ConfigError(
            "pli.toml: further, further_signers and further_urls in [trust] do not name the same lists. Give each list a "
            "file and its signers' fingerprints."
        )
    files = [trust.file, *trust.further.values()]
    if len({config.path(each).resolve() for each in files}) < len(files):
        raise ConfigError("pli.toml: two lists in [trust] are one file. Give each a file of its own.")


def _parse_name(text: str) -> DistinguishedName:
    try:
        return parse_dn(text)
    except Malformed:
        raise ConfigError(
            f'pli.toml: signer_names in [trust]: "{text}" is no certificate name. Write it as "CN=list,O=ANS,C=FR".'
        ) from None
