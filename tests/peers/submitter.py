"""Other people's programs that submit mail: swaks and Postfix's smtp-source."""

import subprocess


def swaks(port: int, sender: str, to: str, *more: str) -> str:
    """Send one mail with swaks; returns its transcript, raises when it is refused."""
    done = subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{port}", "--from", sender, "--to", to, *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def smtp_source(
    port: int, sender: str, to: str, subject: str, *, count: int, size: int, sessions: int
) -> None:
    """Send `count` mails in `sessions` parallel connections."""
    options = {"-f": sender, "-t": to, "-S": subject, "-m": count, "-l": size, "-s": sessions}
    flat = [str(word) for option in options.items() for word in option]
    subprocess.run(
        ["/usr/sbin/smtp-source", *flat, f"127.0.0.1:{port}"],
        check=True,
        capture_output=True,
        timeout=60,
    )
