"""Words of notices to ordinary addresses: that something waits, or a code; never what, never from whom."""

from datetime import datetime

from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed
from mailserver.model.ids import AccountId
from mailserver.service.directory import Directory
from mailserver.service.outbound import NoticeOrder, Outbound
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.space_rows import claim_turn
from mailserver.store.store import Store

WAITING_LIFE_SECONDS = 24 * 3600
CODE_LIFE_SECONDS = 600


class Notices:
    """Builds notice jobs. ``web_url`` is the public address of the pages, without any secret in it."""

    def __init__(self, directory: Directory, outbound: Outbound, operator: str, web_url: str) -> None:
        self._directory = directory
        self._outbound = outbound
        self._operator = operator
        self._web_url = web_url

    def waiting_job(self, account: AccountRow, now: datetime) -> JobRow | None:
        """The notice that something waits, or None when the person left no ordinary address."""
        text = (
            f"Bonjour,\n\nUn nouveau message vous attend dans votre espace {self._operator}.\n"
            f"Pour le lire, connectez-vous comme d'habitude : {self._web_url}\n\n"
            "Ce courriel ne demande ni mot de passe ni code, et n'en demandera jamais.\n\n"
            f"--\nA new message waits in your {self._operator} space. Log in as usual to read it.\n"
        )
        return self._job(
            account, (f"{self._operator} : un message vous attend", text), WAITING_LIFE_SECONDS, now
        )

    def code_job(self, account: AccountRow, code: str, now: datetime) -> JobRow | None:
        """A one-time code for the ordinary address, or None when the person left none."""
        text = (
            f"Bonjour,\n\nVotre code de connexion : {code}\n\nIl est valable 10 minutes et ne sert qu'une fois.\n"
            "Si vous n'avez pas demandé de code, ne faites rien : personne n'entre sans lui.\n"
            "Ne le donnez à personne, même à quelqu'un qui se dit de nos services.\n\n"
            f"--\nYour login code: {code}. Valid for 10 minutes, once.\n"
        )
        return self._job(
            account, (f"{self._operator} : votre code de connexion", text), CODE_LIFE_SECONDS, now
        )

    def guesses_job(self, account: AccountRow, now: datetime) -> JobRow | None:
        """That somebody has the password and guesses codes, or None when the person left no ordinary address."""
        text = (
            "Bonjour,\n\nQuelqu'un a donné le mot de passe de votre espace "
            f"{self._operator}, puis plusieurs codes faux. Personne n'est entré.\n\n"
            "Si c'était vous, ne faites rien : vérifiez seulement que votre téléphone est à l'heure.\n"
            "Si ce n'était pas vous, quelqu'un connaît votre mot de passe : appelez l'assistance pour en changer.\n"
            "Ne donnez à personne votre mot de passe ni un code, même à quelqu'un qui se dit de nos services.\n\n"
            f"--\nSomebody gave the password of your {self._operator} space, then several wrong codes, and did not get"
            " in. If it was not you, call the support to change your password.\n"
        )
        return self._job(
            account, (f"{self._operator} : des codes faux ont été essayés", text), WAITING_LIFE_SECONDS, now
        )

    def _job(
        self, account: AccountRow, words: tuple[str, str], life_seconds: int, now: datetime
    ) -> JobRow | None:
        contact = self._directory.open_profile(account).contact_email
        if not contact:
            return None
        try:
            order = NoticeOrder(parse_address(contact), *words)
        except Malformed:
            return None
        return self._outbound.notice_job(account.account_id, order, life_seconds, now)


def claim_waiting(store: Store, connection: Connection, account_id: AccountId, now: int) -> bool:
    """Whether a notice that something waits may go out: one in 24 h, which is also how long one lives in the queue.

    Called in the Unit that adds it, and remembered there: however much arrives, the ordinary address gets one.
    """
    mark = store.macs.sign("fold-notice", (account_id, "waiting"))
    return claim_turn(connection, account_id, mark, now, seconds=WAITING_LIFE_SECONDS)
