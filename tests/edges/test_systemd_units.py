"""The systemd files against systemd's own programs, and against what the daemon does."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from gateway.daemon import STOP_SECONDS
from gateway.settings import Cage, Lmtp, Security, Settings, Storage
from tests.support.real import need, refuse

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SERVICE, SOCKET = UNITS / "ticketgate.service", UNITS / "ticketgate-lmtp.socket"
EXPOSURE = 12  # tenths: at most 1.2


def options(unit: Path, section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    inside = ""
    for line in unit.read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            inside = header[1]
        elif inside == section and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def installed(folder: Path) -> list[str]:
    """Copies of the units whose program exists, as after an installation."""
    copies = []
    for unit in (SERVICE, SOCKET):
        copy = folder / unit.name
        copy.write_text(unit.read_text().replace("/usr/bin/ticketgate", "/bin/true"))
        copies.append(str(copy))
    return copies


def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    verified = run(need("systemd-analyze")["systemd-analyze"], "--man=no", "verify", *installed(tmp_path))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_the_exposure_stays_low() -> None:
    program = need("systemd-analyze")["systemd-analyze"]
    scored = run(program, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(SERVICE))
    assert scored.returncode == 0, scored.stdout[-600:]


def test_users_and_folders_are_made_as_the_daemon_needs_them(tmp_path: Path) -> None:
    programs = need("systemd-sysusers", "systemd-tmpfiles")
    if os.geteuid() != 0:
        refuse("only root may make users and folders in another root")
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).write_text("root:x:0:0::/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n")
    users = run(programs["systemd-sysusers"], f"--root={tmp_path}", str(UNITS / "ticketgate.sysusers"))
    assert users.returncode == 0, users.stderr
    groups = (tmp_path / "etc/group").read_text()
    assert re.search(r"^ticketgate-lmtp:x:\d+:ticketgate$", groups, re.MULTILINE)
    user = re.search(r"^ticketgate:x:(\d+):(\d+):", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)
    assert user
    (tmp_path / "etc/ticketgate").mkdir()
    (tmp_path / "etc/ticketgate/ticketgate.toml").write_text("schema = 1\n")
    folders = run(programs["systemd-tmpfiles"], "--create", f"--root={tmp_path}", str(UNITS / "ticketgate.tmpfiles"))
    assert folders.returncode == 0, folders.stderr
    for path, mode, owner in (
        ("etc/ticketgate", 0o750, 0),
        ("etc/ticketgate/ticketgate.toml", 0o640, 0),
        ("var/lib/ticketgate", 0o700, int(user[1])),
        ("run/ticketgate", 0o755, int(user[1])),
    ):
        found = (tmp_path / path).stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (mode, owner, int(user[2])), path
    assert not (tmp_path / "var/lib/ticketgate/raw").exists()  # mail as received is in the database


def test_the_default_paths_are_those_the_units_make() -> None:
    folders = {line.split()[1] for line in (UNITS / "ticketgate.tmpfiles").read_text().splitlines() if line[:1] == "d"}
    for place in (Storage().url.removeprefix("sqlite:"), Security().token_key.removeprefix("file:")):
        assert str(Path(place).parent) in folders
    assert str(Settings().folder) in folders
    listening = options(SOCKET, "Socket")
    assert str(Path(listening["ListenStream"]).parent) in folders
    assert Lmtp().listen == ("systemd",)
    assert listening["FileDescriptorName"] == "lmtp"
    assert options(SERVICE, "Service")["Sockets"] == SOCKET.name


def test_the_unit_gives_the_daemon_what_it_needs() -> None:
    service = options(SERVICE, "Service")
    assert service["Environment"] == "PYTHONSAFEPATH=1"
    assert service["RestartPreventExitStatus"].split() == ["78", "77"]
    assert service["OOMPolicy"] == "continue"
    assert "RuntimeDirectory" not in service  # it would take the socket away
    assert int(service["TimeoutStopSec"].removesuffix("s")) > STOP_SECONDS
    # Room for the parent and three children; a machine with more of them raises MemoryMax (the comment says so).
    assert service["MemoryMax"] == "2G"
    assert 4 * Cage().memory <= 2 << 30


def test_the_readers_can_limit_themselves_under_the_units_filter() -> None:
    """``~@resources`` takes setrlimit away; CPython asks with prlimit64, which stays (security.md 15.3)."""
    program = need("systemd-analyze")["systemd-analyze"]
    allowed, default, taken = (
        run(program, "syscall-filter", "--no-pager", name).stdout.split()
        for name in ("@system-service", "@default", "@resources")
    )
    assert "@default" in allowed
    assert "prlimit64" in default
    assert "setrlimit" in taken
    assert "prlimit64" not in taken
