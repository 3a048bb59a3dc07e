"""The value of a key: read from the environment, and of the type that its default has."""

from mailserver.model.errors import PliError

Value = str | int | bool | list[str] | dict[str, str]


class ConfigError(PliError):
    """A configuration that cannot be used; ``str`` is the whole sentence for the administrator."""

    def __init__(self, sentence: str) -> None:
        super().__init__("config", sentence)

    def __str__(self) -> str:
        return self.detail


def parse_value(where: str, text: str, default: Value) -> Value:
    """An environment variable's text as a value of its default's type. Raises ConfigError."""
    if isinstance(default, list):
        return [each.strip() for each in text.split(",") if each.strip()]
    if isinstance(default, dict):
        pairs = [each.partition("=") for each in text.split(",") if each.strip()]
        return {name.strip(): value.strip() for name, _equals, value in pairs}
    if isinstance(default, bool):
        if text.strip() not in {"true", "false"}:
            raise ConfigError(f"{where} must be true or false.")
        return text.strip() == "true"
    if isinstance(default, int):
        if not (text.isascii() and text.strip().isdigit() and len(text) < 20):
            raise ConfigError(f"{where} must be a whole number of 0 or more.")
        return int(text)
    return text


def checked_value(where: str, value: object, default: Value) -> Value:
    """The value, when it is of its default's type. Raises ConfigError."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false, without quotes.")
        return value
    if isinstance(default, int) and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ConfigError(f"{where} must be a whole number of 0 or more.")
    if isinstance(default, str) and not isinstance(value, str):
        raise ConfigError(f'{where} must be a text in quotes, for example "{default}".')
    if isinstance(default, list) and not (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    ):
        raise ConfigError(f'{where} must be a list of texts, for example ["a", "b"].')
    if isinstance(default, dict) and not (
        isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    ):
        raise ConfigError(f'{where} must be a table, for example {{ "b.example" = "mx.b.example:25" }}.')
    return value  # type: ignore[return-value] # checked above
