"""pli.toml: every key documented, every error names file, key and remedy."""

import dataclasses
from pathlib import Path
from typing import get_type_hints

import pytest

from mailserver.app.trust_lists import plan_sources
from mailserver.config import Config, ConfigError, Value, load_config
from mailserver.config.rules import split_sources
from mailserver.config.template import format_config
from mailserver.crypto.x509 import parse_dn

MINIMAL = '[operator]\ndomains = ["sante.example"]\n'
BOUNCES = '[bounces]\nhost = "boites.example"\nuser = "pli"\npassword_file = "secret"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "pli.toml"
    path.write_text(text)
    return path


def test_defaults_and_paths(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL), {})
    assert config.listen.imaps == 993
    assert config.data_folder == tmp_path / "data"
    assert config.database_url == f"sqlite:///{tmp_path}/data/pli.sqlite"
    assert [domain.name for domain in config.domains] == ["sante.example"]


def test_printed_configuration_is_read_back(tmp_path: Path) -> None:
    values = {
        "operator": {"domains": ["a.example", "b.example"]},
        "trust": {"routes": {"b.example": "mx:25"}},
    }
    config = load_config(write(tmp_path, format_config(values)), {})
    assert config.operator.domains == ["a.example", "b.example"]
    assert config.trust.routes == {"b.example": "mx:25"}


def test_every_key_is_documented() -> None:
    text = format_config({})
    for section in dataclasses.fields(Config)[1:]:
        assert f"[{section.name}]" in text
    keys = [line for line in text.splitlines() if " = " in line]
    documented = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(documented) >= len(keys)


@pytest.mark.parametrize(
    "line",
    [
        'resolver = ["ns.example:53"]',
        'resolver = ["192.0.2.1"]',
        'resolver = ["192.0.2.1:53", "192.0.2.1:54"]',
    ],
)
def test_resolvers_are_addresses_with_ports(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"resolver in .trust. must be"):
        load_config(write(tmp_path, f"{MINIMAL}[trust]\n{line}\n"), {})
    good = load_config(
        write(tmp_path, f'{MINIMAL}[trust]\nresolver = ["192.0.2.1:53", "[2001:db8::1]:53"]\n'), {}
    )
    assert good.trust.mx


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    environment = {"PLI_LISTEN_IMAPS": "10993", "PLI_OPERATOR_DOMAINS": "x.example, y.example"}
    config = load_config(write(tmp_path, MINIMAL), environment)
    assert config.listen.imaps == 10993
    assert config.operator.domains == ["x.example", "y.example"]


def test_switches_in_file_and_environment(tmp_path: Path) -> None:
    assert not load_config(write(tmp_path, MINIMAL), {}).patients.refuse_mss_mismatch
    on = write(tmp_path, MINIMAL + "[patients]\nrefuse_mss_mismatch = true\n")
    assert load_config(on, {}).patients.refuse_mss_mismatch
    assert not load_config(on, {"PLI_PATIENTS_REFUSE_MSS_MISMATCH": "false"}).patients.refuse_mss_mismatch
    with pytest.raises(ConfigError, match="must be true or false"):
        load_config(on, {"PLI_PATIENTS_REFUSE_MSS_MISMATCH": "1"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[operator", "TOML"),
        ("[operator]\ndomains = []\n", "domains in [operator]"),
        ('[operator]\ndomains = ["not a domain"]\n', "domains in [operator]"),
        (MINIMAL + '[language]\nfirst = "de"\n', 'first in [language] must be "fr" or "en"'),
        (MINIMAL + 'zone = "Paris"\n', 'zone in [operator] must be a time zone as "Europe/Paris"'),
        (MINIMAL + "[nonsense]\n", "unknown section [nonsense]"),
        (MINIMAL + 'colour = "red"\n', "unknown key colour in [operator]"),
        (MINIMAL + "[listen]\nimaps = true\n", "imaps in [listen] must be a whole number"),
        (MINIMAL + "[listen]\nhost = 3\n", "host in [listen] must be a text"),
        (MINIMAL + "[trust]\nsigners = 3\n", "signers in [trust] must be a list"),
        (MINIMAL + "[trust]\nroutes = 3\n", "routes in [trust] must be a table"),
        (MINIMAL + '[trust]\nroutes = { "b.example" = 3 }\n', "routes in [trust] must be a table"),
        ("operator = 3\n", "[operator] must be a section"),
        (
            MINIMAL + 'product_reference = "two words"\n',
            "product_reference in [operator] must be the product",
        ),
        (MINIMAL + "[patients]\nrefuse_mss_mismatch = 1\n", "must be true or false, without quotes"),
        (MINIMAL + '[patients]\nrefuse_mss_mismatch = "true"\n', "must be true or false, without quotes"),
        (
            MINIMAL + '[patients]\npharmacies = ["@sante.example"]\n',
            "pharmacies in [patients] must be a list of mail",
        ),
        (
            MINIMAL + '[patients]\npharmacies = ["deux mots"]\n',
            "pharmacies in [patients] must be a list of mail",
        ),
        (MINIMAL + '[relay]\ndkim_key = "k.pem"\n', "dkim_key and dkim_selector in [relay] go together"),
        (MINIMAL + '[relay]\nuser = "pli"\n', "user and password_file in [relay] go together"),
        (
            MINIMAL + '[relay]\nuser = "pli"\npassword_file = "secret"\n',
            "user in [relay] needs security = starttls or tls",
        ),
        (
            MINIMAL + '[bounces]\nhost = "boites.example"\n',
            "host, user and password_file in [bounces] go together",
        ),
        (MINIMAL + '[bounces]\nuser = "pli"\npassword_file = "secret"\n', "in [bounces] go together"),
        (
            MINIMAL + f'[relay]\nsender = "{"x" * 22}@a.example"\n' + BOUNCES,
            "sender in [relay] is too long for a tag: at most 21 characters",
        ),
    ],
)
def test_refusals_name_file_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_config(path, {})
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "remedy"),
    [
        ("operator", "name", '""', "one line of text"),
        ("operator", "name", '"two\\nlines"', "one line of text"),
        ("operator", "domains", '["a.example", "A.example"]', "each once"),
        ("operator", "hostname", '"bad host"', "a domain name in lower case"),
        ("operator", "hostname", '"Mail.example"', "a domain name in lower case"),
        ("store", "data", '""', "the path of a file or folder"),
        ("store", "keys", '"a\\u0000b"', "the path of a file or folder"),
        ("store", "database", '"nonsense"', "postgresql+psycopg://"),
        ("store", "database", '"mysql://pli@db.example/pli"', "postgresql+psycopg://"),
        ("store", "database", '"postgresql://pli@db.example/pli"', "postgresql+psycopg://"),
        ("store", "database", '"postgresql+psycopg://pli@db.example:port/pli"', "postgresql+psycopg://"),
        ("listen", "host", '"everywhere"', '"0.0.0.0" for every interface'),
        ("listen", "mx", "99999999", "from 1 to 65535, or 0 to switch it off"),
        ("listen", "web", "-1", "a whole number of 0 or more"),
        ("tls", "certificate", '""', "the path of a file or folder"),
        ("tls", "peer_crl", '"a\\nb"', "empty for none"),
        ("trust", "signers", '["zz"]', "64 digits from 0-9 and a-f"),
        ("trust", "signers", f'["{"AB:" * 31}AB"]', "without colons"),
        ("trust", "signer_names", '["a name"]', "a list of certificate names"),
        ("trust", "url", '"http://lists.example/list.xml"', "https://lists.example"),
        ("trust", "url", '"https://ann@lists.example/list.xml"', "without a user name"),
        ("trust", "url", '"https://lists.example/list.xml#a"', "https://lists.example"),
        ("trust", "url", '"https:///list.xml"', "https://lists.example"),
        ("trust", "url", '"https://lists..example/"', "https://lists.example"),
        ("trust", "url", '"https://lists.example/a b"', "https://lists.example"),
        ("trust", "authority", '"a\\nb"', "empty for none"),
        ("trust", "fetch_minutes", "4", "from 5 to 1440"),
        ("trust", "alarm_hours", "0", "from 1 to 87600"),
        ("trust", "further", '{ main = "x.xml" }', 'not "main"'),
        ("trust", "further", '{ "../x" = "x.xml" }', "a-z, 0-9"),
        ("trust", "further", '{ region = "" }', "with files"),
        ("trust", "further_signers", '{ region = "" }', "separated by spaces"),
        ("trust", "further_signers", '{ region = "zz" }', "64 digits"),
        ("trust", "further_urls", '{ region = "http://lists.example/" }', "https://lists.example"),
        ("trust", "stale_hours", "0", "from 1 to 87600"),
        ("trust", "stale_hours", "99999999999", "from 1 to 87600"),
        ("trust", "routes", '{ "b.example" = "mx.b.example" }', "host:port"),
        ("trust", "routes", '{ "b example" = "mx.b.example:25" }', "host:port"),
        ("limits", "message_bytes", "0", "from 65536"),
        ("limits", "recipients", "0", "1 or more"),
        ("limits", "messages", "0", "1 or more"),
        ("limits", "connections", "0", "1 or more"),
        ("limits", "connections_per_address", "0", "1 or more"),
        ("antivirus", "clamd", '"unix:clamd.ctl"', "unix:/run/clamav/clamd.ctl"),
        ("antivirus", "clamd", '"localhost"', "127.0.0.1:3310"),
        ("relay", "host", '"smtp relay"', "a host name or an IP address"),
        ("relay", "security", '"ssl"', "opportunistic, starttls, tls"),
        ("relay", "user", '"a\\nb"', "one line of text"),
        ("relay", "dkim_selector", '"a.b"', "letters, digits and hyphens"),
        ("relay", "dkim_domain", '"bad domain"', "a mail domain"),
        ("relay", "port", "0", "a port from 1 to 65535"),
        ("relay", "sender", '"nobody"', "a mail address"),
        ("bounces", "host", '"deux mots"', "a host name or an IP address"),
        ("bounces", "mailbox", '"Retour é"', "the name of a mailbox in ASCII"),
        ("bounces", "mailbox", '""', "the name of a mailbox in ASCII"),
        ("bounces", "minutes", "0", "from 1 to 1440"),
        ("bounces", "subaddress", '"yes"', "true or false"),
        ("sms", "url", '"http://sms.example"', "https://sms.example"),
        ("sms", "prefixes", "[]", "a list of one or more"),
        ("sms", "prefixes", '["33"]', "for every country"),
        ("sms", "prefixes", '["+33", "+0"]', "for every country"),
        ("sms", "body", '"{}"', "{number} and {text}"),
        ("web", "url", '"nonsense"', "https://"),
        ("web", "url", '"http://pli.example"', "https://"),
        ("web", "url", '"https:///page"', "https://"),
    ],
)
def test_each_key_has_its_check(tmp_path: Path, section: str, key: str, value: str, remedy: str) -> None:
    given = {"operator": {"domains": '["a.example"]'}, section: {}}
    given.setdefault(section, {})[key] = value
    given["operator"].setdefault("domains", '["a.example"]')
    lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for name, keys in given.items()]
    path = write(tmp_path, "".join(lines))
    with pytest.raises(ConfigError) as refused:
        load_config(path, {})
    assert str(refused.value).startswith(f"{path}: {key} in [{section}] must be ")
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("operator", "domains", ["santé.example"]),
        ("store", "database", "postgresql+psycopg://pli:secret@db.example:5432/pli"),
        ("store", "database", "postgresql+psycopg:///pli?host=/run/postgresql"),
        ("listen", "host", "::1"),
        ("listen", "mx", 0),
        ("trust", "signers", ["ab" * 32]),
        ("trust", "signer_names", ["CN=list,O=ANS\\, PARIS,C=FR", "/C=FR/O=ANS/CN=list"]),
        ("trust", "url", "https://lists.example:8443/list.xml?version=1"),
        ("trust", "url", "https://192.0.2.1/list.xml"),
        ("trust", "routes", {"b.example": "[2001:db8::1]:25"}),
        ("relay", "host", "192.0.2.1"),
        ("relay", "sender", "ne-pas-repondre@a.example"),
        ("web", "url", "https://pli.example:8443/sante"),
    ],
)
def test_values_that_are_taken(tmp_path: Path, section: str, key: str, value: Value) -> None:
    given: dict[str, dict[str, Value]] = {"operator": {"domains": ["a.example"]}}
    given.setdefault(section, {})[key] = value
    config = load_config(write(tmp_path, format_config(given)), {})
    assert getattr(getattr(config, section), key) == value


def test_every_key_has_a_rule_that_its_default_keeps() -> None:
    for section in get_type_hints(Config).values():
        if not dataclasses.is_dataclass(section):
            continue
        for each in dataclasses.fields(section):
            rule = each.metadata["rule"]
            assert rule.remedy
            assert rule.is_kept(getattr(section(), each.name)) or each.name == "domains"


def test_a_port_is_given_once(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "[listen]\nsubmission = 587\nsubmissions = 587\n")
    with pytest.raises(ConfigError) as refused:
        load_config(path, {})
    assert str(refused.value).startswith(f"{path}: submission and submissions in [listen] are both 587. ")
    off = write(tmp_path, MINIMAL + "[listen]\nimap = 0\nsubmission = 0\n")
    assert load_config(off, {}).listen.imap == 0


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ('further = { region = "r.xml" }', "do not name the same lists"),
        (f'further_signers = {{ region = "{"ab" * 32}" }}', "do not name the same lists"),
        ('further_urls = { region = "https://lists.example/" }', "do not name the same lists"),
        (
            f'further = {{ region = "trust/list.xml" }}\nfurther_signers = {{ region = "{"ab" * 32}" }}',
            "two lists in [trust] are one file",
        ),
    ],
)
def test_lists_that_do_not_fit_together(tmp_path: Path, lists: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan_sources(load_config(write(tmp_path, f"{MINIMAL}[trust]\n{lists}\n"), {}))
    assert said in str(refused.value)


def test_a_further_list_has_file_signers_and_perhaps_an_address(tmp_path: Path) -> None:
    signers = f"{'ab' * 32} {'cd' * 32}"
    given: dict[str, dict[str, Value]] = {
        "operator": {"domains": ["a.example"]},
        "trust": {
            "further": {"region": "r.xml", "drim-m": "d.xml"},
            "further_signers": {"region": signers, "drim-m": "ef" * 32},
            "further_urls": {"region": "https://lists.example/r.xml"},
        },
    }
    main, region, other = plan_sources(load_config(write(tmp_path, format_config(given)), {}))
    assert (main.name, region.name, other.name) == ("main", "region", "drim-m")
    assert region.rule.pinned.fingerprints == frozenset(signers.split())
    assert (main.url, region.url, other.url) == ("", "https://lists.example/r.xml", "")


def test_signer_names_are_read_whatever_their_order(tmp_path: Path) -> None:
    names = ["CN=list,O=ANS\\, PARIS,C=FR", "/C=FR/O=ANS, PARIS/CN=list"]
    for name in names:
        given: dict[str, dict[str, Value]] = {
            "operator": {"domains": ["a.example"]},
            "trust": {"signer_names": [name]},
        }
        (main,) = plan_sources(load_config(write(tmp_path, format_config(given)), {}))
        assert main.rule.pinned.names == {parse_dn(names[0])}
    wrong = MINIMAL + '[trust]\nsigner_names = ["CN=a+OU=b"]\n'
    with pytest.raises(ConfigError, match="is no certificate name"):
        plan_sources(load_config(write(tmp_path, wrong), {}))


@pytest.mark.parametrize("store", ['keys = "data/keys"', 'data = "keys/data"', 'keys = "data"', 'data = "."'])
def test_keys_lie_outside_data(tmp_path: Path, store: str) -> None:
    path = write(tmp_path, f"{MINIMAL}[store]\n{store}\n")
    with pytest.raises(ConfigError) as refused:
        load_config(path, {})
    assert str(refused.value).startswith(f"{path}: data and keys in [store] are one inside the other. ")


def test_keys_do_not_lie_in_data_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "data/inner").mkdir(parents=True)
    (tmp_path / "keys").symlink_to(tmp_path / "data/inner")
    with pytest.raises(ConfigError, match="one inside the other"):
        load_config(write(tmp_path, MINIMAL), {})


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("PLI_LISTEN_IMAPS", "²", "a whole number"),
        ("PLI_LISTEN_IMAPS", "70000", "a port from 1 to 65535"),
        ("PLI_TRUST_ROUTES", "b.example", "host:port"),
        ("PLI_OPERATOR_DOMAINS", "", "a list of mail domains"),
        ("PLI_WEB_URL", "nonsense", "https://"),
    ],
)
def test_the_environment_keeps_the_same_rules(tmp_path: Path, variable: str, value: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(write(tmp_path, MINIMAL), {variable: value})
    assert str(refused.value).startswith(f"environment: {variable} must be ")
    assert remedy in str(refused.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path, {})
    (tmp_path / "pli.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="TOML"):
        load_config(tmp_path / "pli.toml", {})


def test_absent_file_and_bad_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pli init"):
        load_config(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="PLI_LISTEN_IMAPS must be a whole number"):
        load_config(write(tmp_path, MINIMAL), {"PLI_LISTEN_IMAPS": "many"})


@pytest.mark.parametrize(
    ("line", "sources"),
    [
        ('peer_crl = ""', ()),
        ('peer_crl = "tls/a.crl"', ("tls/a.crl",)),
        ('peer_crl = "tls/a.crl, http://igc.example/b.crl"', ("tls/a.crl", "http://igc.example/b.crl")),
    ],
)
def test_sources_of_revocation_lists(tmp_path: Path, line: str, sources: tuple[str, ...]) -> None:
    config = load_config(write(tmp_path, f"{MINIMAL}[tls]\n{line}\n"), {})
    assert split_sources(config.tls.peer_crl) == sources


@pytest.mark.parametrize(
    "line",
    [
        'peer_crl = "http:///a.crl"',
        'peer_crl = "a.crl, https://user:word@igc.example/"',
        'peer_ocsp = "ocsp.example"',
        'peer_ocsp = "ftp://ocsp.example/"',
        'revocation = "maybe"',
        'peer_cbc = "true"',
        "peer_cbc = 1",
        "peer_server_certificate_suffices = 0",
    ],
)
def test_how_peers_are_judged_is_checked(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=line.split(maxsplit=1)[0]):
        load_config(write(tmp_path, f"{MINIMAL}[tls]\n{line}\n"), {})


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_switches_from_the_environment(tmp_path: Path, text: str, value: bool) -> None:
    path = write(tmp_path, MINIMAL)
    assert load_config(path, {"PLI_TLS_PEER_CBC": text}).tls.peer_cbc is value
    with pytest.raises(ConfigError, match="PLI_TLS_PEER_CBC must be true or false"):
        load_config(path, {"PLI_TLS_PEER_CBC": "yes"})
