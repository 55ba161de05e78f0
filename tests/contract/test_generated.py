"""The Python that callers import is what protos/ says, all of it, and loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor

ROOT = Path(__file__).parents[2]


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


def test_the_committed_code_is_what_the_generator_writes() -> None:
    command = [sys.executable, str(ROOT / "clients" / "generate.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
