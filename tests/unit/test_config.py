"""pli.toml: every key documented, every error names file, key and remedy."""

import dataclasses
from pathlib import Path

import pytest

from mailserver.config import Config, ConfigError, format_config, load_config

MINIMAL = '[operator]\ndomains = ["sante.example"]\n'


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


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    environment = {"PLI_LISTEN_IMAPS": "10993", "PLI_OPERATOR_DOMAINS": "x.example, y.example"}
    config = load_config(write(tmp_path, MINIMAL), environment)
    assert config.listen.imaps == 10993
    assert config.operator.domains == ["x.example", "y.example"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[operator", "TOML"),
        ("[operator]\ndomains = []\n", "domains in [operator]"),
        ('[operator]\ndomains = ["not a domain"]\n', "domains in [operator]"),
        (MINIMAL + "[nonsense]\n", "unknown section [nonsense]"),
        (MINIMAL + 'colour = "red"\n', "unknown key colour in [operator]"),
        (MINIMAL + "[listen]\nimaps = true\n", "imaps in [listen] must be a whole number"),
        (MINIMAL + "[listen]\nhost = 3\n", "host in [listen] must be a text"),
        (MINIMAL + "[trust]\nsigners = 3\n", "signers in [trust] must be a list"),
        (MINIMAL + "[trust]\nroutes = 3\n", "routes in [trust] must be a table"),
        ("operator = 3\n", "[operator] must be a section"),
    ],
)
def test_refusals_name_file_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_config(path, {})
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_absent_file_and_bad_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pli init"):
        load_config(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="PLI_LISTEN_IMAPS must be a whole number"):
        load_config(write(tmp_path, MINIMAL), {"PLI_LISTEN_IMAPS": "many"})
