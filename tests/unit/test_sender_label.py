"""ECO.2.2.7: the label of mail that the server composes."""

import pytest

from mailserver.model.account import AccountKind
from mailserver.service.directory import Profile
from mailserver.service.sender_label import format_label
from mailserver.service.shown_names import plain_name

PER, ORG = AccountKind.PER, AccountKind.ORG


@pytest.mark.parametrize(
    ("kind", "name", "structure", "label"),
    [
        (PER, "Dr Alix DEMO", "Cabinet du Port", "Dr_Alix_DEMO_Cabinet du Port"),
        (PER, "Alix DEMO", "", "Alix_DEMO"),
        (PER, "Pr. Marie Claire DE LA TOUR", "", "Pr._Marie Claire_DE LA TOUR"),
        (PER, "Jean-Noël D’ARC", "CHU_Nord", "Jean-Noël_D’ARC_CHU Nord"),
        (PER, "Alix Demo", "CHU", "Alix Demo"),
        (PER, "DEMO Alix", "CHU", "DEMO Alix"),
        (PER, "Dr DEMO", "", "Dr DEMO"),
        (PER, "", "", ""),
        (ORG, "Cardiologie CHU Nord", "CHU", "Cardiologie CHU Nord"),
        (AccountKind.APP, "Résultats", "", "Résultats"),
        (AccountKind.PATIENT, "Dominique PAT-TROIS", "", "Dominique PAT-TROIS"),
    ],
)
def test_labels(kind: AccountKind, name: str, structure: str, label: str) -> None:
    assert format_label(kind, Profile(name, structure=structure)) == label


def test_people_read_spaces() -> None:
    assert plain_name("Dr_Alix_DEMO_Cabinet du Port") == "Dr Alix DEMO Cabinet du Port"
