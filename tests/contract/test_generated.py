"""The Python that callers import is what protos/ says, all of it, and loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from smartconnectors.common.v1 import options_pb2

ROOT = Path(__file__).parents[2]
ROLES = {
    options_pb2.ROLE_VIEWER: "read",
    options_pb2.ROLE_BIDDER: "bid",
    options_pb2.ROLE_OPERATOR: "operate",
}


def test_every_proto_file_has_a_generated_module(proto_files: list[FileDescriptor]) -> None:
    written = {
        str(path.relative_to(ROOT / "protos"))
        for path in (ROOT / "protos" / "smartconnectors").rglob("*.proto")
    }
    assert {file.name for file in proto_files} == written


def test_the_package_of_a_file_is_its_folder_and_its_python_import_path(
    proto_file: FileDescriptor,
) -> None:
    assert proto_file.package == str(Path(proto_file.name).parent).replace("/", ".")


@pytest.mark.parametrize("generator", ["generate.py", "reference.py"])
def test_what_is_committed_is_what_the_generator_writes(generator: str) -> None:
    command = [sys.executable, str(ROOT / "clients" / generator), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_reference_says_of_every_rpc_what_it_takes_and_whether_it_spends(
    rpc: MethodDescriptor,
) -> None:
    guard = rpc.GetOptions().Extensions[options_pb2.guard]
    service = rpc.containing_service.full_name
    page = (ROOT / "protos" / "REFERENCE.md").read_text()
    table = page.split(f"`{service}`: ")[1]
    line = re.findall(rf"^\| \*\*{rpc.name}\*\*.*", table, re.MULTILINE)[0]
    assert f"[{rpc.input_type.name}]" in line
    assert f"[{rpc.output_type.name}]" in line
    assert ("`spends`" in line) is guard.spends
    assert ("`urgent`" in line) is guard.urgent
    assert f"| `{ROLES[guard.role]}` |" in line


def test_every_link_of_the_reference_leads_somewhere() -> None:
    page = (ROOT / "protos" / "REFERENCE.md").read_text()
    wanted = {link for link in re.findall(r"\]\(#([^)]+)\)", page) if not link.endswith("proto")}
    assert wanted <= set(re.findall(r'<a id="([^"]+)">', page))
