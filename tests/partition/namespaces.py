"""Network namespaces of their own, and the TUN devices in them."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN_WITHOUT_HEADER = 0x1001
_SBIN = ("/usr/sbin", "/sbin")


def why_not() -> str:
    """Why no network namespace can be made here; empty: one can. Tries it in another process."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if _ip() is None:
        return "there is no ip command (Debian and Ubuntu: apt-get install iproute2)"
    code = "from tests.partition import namespaces as n; n.enter(); n.tun('probe0', '10.99.0.1/24')"
    root = Path(__file__).parents[2]
    tried = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return ""
    words = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"network namespaces are not allowed here: {words}"


def enter() -> None:
    """Moves this process, which must have one thread, into a network namespace of its own, with a
    loopback device. Raises OSError where that is not allowed.
    """
    flags = _CLONE_NEWNET
    user, group = os.geteuid(), os.getegid()
    if user:
        flags |= _CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _run("link", "set", "lo", "up")


def tun(name: str, address: str) -> int:
    """A TUN device in this namespace: what is sent to its network can be read from the descriptor
    that is returned, and what is written there arrives. Raises OSError.
    """
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), _IFF_TUN_WITHOUT_HEADER)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    _run("address", "add", address, "dev", name)
    _run("link", "set", name, "up")
    return descriptor


def _ip() -> str | None:
    return shutil.which("ip", path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))


def _run(*words: str) -> None:
    found = _ip()
    assert found is not None
    done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
