"""Generates the Python stubs from protos/ with tools from the package registry only.

    python clients/generate.py            write clients/python/smartconnectors
    python clients/generate.py --check    fail when what is committed is not what would be written

protovalidate ships its options compiled into a native module and no `buf.validate.validate_pb2`,
so that file is generated privately (smartconnectors/_vendor) and the one import line rewritten.
"""

from __future__ import annotations

import filecmp
import re
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = ROOT / "clients" / "python" / "smartconnectors"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
# The plugins that were installed with this interpreter, wherever PATH points.
PLUGINS = [
    f"--plugin={name}={Path(sysconfig.get_path('scripts')) / name}"
    for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
]
VENDORED_IMPORT = re.compile(r"^(from|import) buf\.validate\b", re.MULTILINE)


def run_protoc(arguments: list[str]) -> None:
    """Runs protoc and raises SystemExit with its own message when it fails."""
    if protoc.main(["protoc", f"-I{PROTOS}", f"-I{WELL_KNOWN}", *PLUGINS, *arguments]) != 0:
        raise SystemExit("protoc failed; its message is above")


def generate(out: Path) -> None:
    """Writes every generated file below `out`, laid out as in the `smartconnectors` package."""
    with tempfile.TemporaryDirectory() as scratch:
        ours = sorted(str(p) for p in (PROTOS / "smartconnectors").rglob("*.proto"))
        services = [p for p in ours if p.endswith("_service.proto")]
        run_protoc([f"--python_out={scratch}", f"--mypy_out=quiet:{scratch}", *ours])
        run_protoc([f"--grpc_python_out={scratch}", f"--mypy_grpc_out=quiet:{scratch}", *services])
        vendored = Path(scratch) / "smartconnectors" / "_vendor"
        vendored.mkdir()
        run_protoc(
            [
                f"--python_out={vendored}",
                f"--mypy_out=quiet:{vendored}",
                str(PROTOS / "buf" / "validate" / "validate.proto"),
            ]
        )
        for path in Path(scratch).rglob("*.py*"):
            text = path.read_text()
            text = VENDORED_IMPORT.sub(r"\1 smartconnectors._vendor.buf.validate", text)
            target = out / path.relative_to(Path(scratch) / "smartconnectors")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    for module in out.rglob("*_pb2.py"):
        for folder in list(module.relative_to(out).parents)[:-1]:  # the package's own is written
            (out / folder / "__init__.py").touch()


def generated_files(root: Path) -> set[Path]:
    """The generated files below `root`, relative to it."""
    return {p.relative_to(root) for p in root.rglob("*_pb2*.py*") if "__pycache__" not in p.parts}


def check() -> int:
    """Compares what is committed with what would be written; returns the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        names = generated_files(fresh) | generated_files(PACKAGE)
        stale = [
            str(name)
            for name in sorted(names)
            if not (fresh / name).exists()
            or not (PACKAGE / name).exists()
            or not filecmp.cmp(fresh / name, PACKAGE / name, shallow=False)
        ]
    if stale:
        print("generated code is not what protos/ says; run `make generate`:", *stale, sep="\n  ")
        return 1
    print(f"generated code matches protos/ ({len(names)} files)")
    return 0


def main() -> int:
    """Writes the stubs, or checks them."""
    if sys.argv[1:] == ["--check"]:
        return check()
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)  # all of it, before anything that is there goes
        for name in generated_files(PACKAGE) - generated_files(fresh):
            (PACKAGE / name).unlink()
        shutil.copytree(fresh, PACKAGE, dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
