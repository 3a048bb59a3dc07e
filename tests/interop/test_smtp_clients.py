"""Clients that people and operators use, against our ports: swaks, curl, smtplib and OpenSSL's s_client."""

import smtplib
import subprocess

import pytest
from harness.smtp_harness import client_context, inbox, letter, peer_files, running_smtp
from harness.web_node import make_peers

OURS, PEER = "camille@a.localhost", "noa@b.localhost"
TIMEOUT = 30


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def password(operators):
    return operators[0].add(OURS).app_password


@pytest.fixture(scope="module")
def smtp(operators, password):
    with running_smtp(operators[0]) as running:
        yield running


def run(*command, data=b""):
    result = subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT, check=False)
    return result.returncode, (result.stdout + result.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def swaks(require_tool):
    path = require_tool("swaks")

    def call(port, *options):
        return run(path, "--server", f"127.0.0.1:{port}", "--helo", "poste.a.localhost", *options)

    return call


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("pipelines", [True, False])
def test_swaks_submits_by_starttls(smtp, swaks, password, mechanism, pipelines):
    options = ["--tls", "--auth", mechanism, "--auth-user", OURS, "--auth-password", password]
    options += ["--from", OURS, "--to", OURS, "--header", f"Subject: {mechanism} {pipelines}"]
    code, said = swaks(smtp.submission_port, *options, *(["--pipeline"] if pipelines else []))
    assert code == 0, said
    assert any(f"{mechanism} {pipelines}".encode() in each for each in inbox(smtp.node, OURS, password))


def test_swaks_submits_by_tls(smtp, swaks, password):
    options = ["--tls-on-connect", "--auth", "PLAIN", "--auth-user", OURS, "--auth-password", password]
    code, said = swaks(smtp.submissions_port, *options, "--from", OURS, "--to", OURS)
    assert code == 0, said


def test_swaks_with_a_wrong_password(smtp, swaks):
    options = ["--tls", "--auth", "PLAIN", "--auth-user", OURS, "--auth-password", "mauvais"]
    code, said = swaks(smtp.submission_port, *options, "--from", OURS, "--to", OURS)
    assert code == 28, said
    assert "535 5.7.8" in said


def test_swaks_without_tls(smtp, swaks):
    code, said = swaks(smtp.mx_port, "--from", PEER, "--to", OURS)
    assert code == 23, said
    assert "530 5.7." in said  # the words depend on the last handshake from this address


def test_swaks_as_an_operator(smtp, swaks, operators):
    files = peer_files(operators[1])
    options = ["--tls", "--tls-cert", str(files.cert), "--tls-key", str(files.key)]
    code, said = swaks(smtp.mx_port, *options, "--from", PEER, "--to", OURS, "--header", f"From: {PEER}")
    assert code == 0, said


def test_curl(smtp, require_tool, password, tmp_path):
    mail = tmp_path / "mail.eml"
    octets = letter(OURS, OURS, "curl", b"x" * 70 + b"\r\n.\r\n..\r\n" * 3000)
    mail.write_bytes(octets)
    port = smtp.submissions_port
    command = [require_tool("curl"), "-sS", "-k", f"smtps://127.0.0.1:{port}/poste.a.localhost"]
    command += ["-u", f"{OURS}:{password}", "--mail-from", OURS, "--mail-rcpt", OURS, "-T", str(mail)]
    code, said = run(*command)
    assert code == 0, said
    assert any(each.endswith(octets) for each in inbox(smtp.node, OURS, password))


def test_curl_with_a_wrong_password(smtp, require_tool, tmp_path):
    mail = tmp_path / "mail.eml"
    mail.write_bytes(letter(OURS, OURS, "curl"))
    command = [require_tool("curl"), "-sS", "-k", f"smtps://127.0.0.1:{smtp.submissions_port}/poste"]
    command += ["-u", f"{OURS}:mauvais", "--mail-from", OURS, "--mail-rcpt", OURS, "-T", str(mail)]
    assert run(*command)[0] == 67


def test_smtplib_with_a_message_object(smtp, password):
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = OURS, OURS, "Compte rendu"
    message.set_content("Bonjour,\nvoici l’image.\n")
    message.add_attachment(bytes(range(256)) * 400, maintype="application", subtype="dicom", filename="a.dcm")
    with smtplib.SMTP("127.0.0.1", smtp.submission_port, "poste", TIMEOUT) as client:
        client.starttls(context=client_context())
        client.login(OURS, password)
        assert client.send_message(message) == {}


def test_s_client_is_greeted_after_tls(smtp, require_tool):
    command = [require_tool("openssl"), "s_client", "-connect", f"127.0.0.1:{smtp.mx_port}"]
    command += ["-starttls", "smtp", "-quiet", "-crlf"]
    _, said = run(*command, data=b"EHLO mx.b.localhost\nQUIT\n")
    assert "250 REQUIRETLS" in said
    assert "221 2.0.0" in said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_s_client_with_an_old_version(smtp, require_tool, version):
    command = [
        require_tool("openssl"),
        "s_client",
        "-connect",
        f"127.0.0.1:{smtp.mx_port}",
        "-starttls",
        "smtp",
    ]
    code, said = run(*command, version, "-cipher", "ALL:@SECLEVEL=0")
    assert code != 0
    assert "Cipher is (NONE)" in said
