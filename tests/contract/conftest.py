"""The contract as the generated code has it: every module found by walking, none listed."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

import smartconnectors


def _files() -> list[FileDescriptor]:
    names = [
        module.name
        for module in pkgutil.walk_packages(smartconnectors.__path__, "smartconnectors.")
        if module.name.endswith("_pb2") and "._vendor." not in module.name
    ]
    return [importlib.import_module(name).DESCRIPTOR for name in names]


FILES = _files()
METHODS = [
    method
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `rpc` or `proto_file` runs once for each there is."""
    if "rpc" in metafunc.fixturenames:
        metafunc.parametrize("rpc", METHODS, ids=_name_of_rpc)
    if "proto_file" in metafunc.fixturenames:
        metafunc.parametrize("proto_file", FILES, ids=lambda file: file.name)


def _name_of_rpc(rpc: MethodDescriptor) -> str:
    return f"{rpc.containing_service.name}.{rpc.name}"


@pytest.fixture
def proto_files() -> list[FileDescriptor]:
    """Every proto file of ours that has generated code."""
    return FILES


@pytest.fixture
def rpcs() -> list[MethodDescriptor]:
    """Every RPC of every service."""
    return METHODS
