"""Groups of commands with one command for each platform of the registry.

The registry is asked when such a group is used, not when the command line is built. What only one
platform has comes from the `CommandLine` that it supplies: nothing here knows any of them.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from smartconnectors_server.cli.credentials import with_credentials

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from smartconnectors.client import Client
    from smartconnectors_server.connector import Platform
    from smartconnectors_server.connector.command_line import CommandLine

PlatformName = Annotated[str, typer.Argument(metavar="PLATFORM", help="For example google_ads.")]


class PlatformGroup(TyperGroup, ABC):
    """A group whose commands are the platforms; a subclass says what each does."""

    @abstractmethod
    def command_of(self, platform: Platform, line: CommandLine) -> Callable[..., None]:
        """The function that a platform's command runs, with its signature."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every platform that has a command line."""
        from smartconnectors_server.platforms import PLATFORMS

        del ctx
        return [name for name, platform in PLATFORMS.items() if platform.command_line is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A platform's command. Raises typer.BadParameter for a name that is none."""
        platform = platform_of(cmd_name, self.list_commands(ctx))
        assert platform.command_line is not None
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        function = self.command_of(platform, platform.command_line())
        app.command(cmd_name, help=f"On {platform.title}.")(function)
        return with_credentials(get_command(app))


def platform_of(name: str, known: list[str] | None = None) -> Platform:
    """The platform of that name. Raises typer.BadParameter with those that there are."""
    from smartconnectors_server.platforms import PLATFORMS

    names = list(PLATFORMS) if known is None else known
    if name not in names:
        raise typer.BadParameter(
            f"no platform is called {name!r}; there are: {', '.join(names)}", param_hint="PLATFORM"
        )
    return PLATFORMS[name]


def with_options_of(
    run: Callable[..., None], common: Callable[..., Any], fill: Callable[..., None]
) -> Callable[..., None]:
    """`run`, with the parameters of `common` and the keyword-only parameters of `fill` as its own.

    Raises:
        ValueError: both have a parameter of one name.
    """
    parameters = [
        *inspect.signature(common, eval_str=True).parameters.values(),
        *(
            one
            for one in inspect.signature(fill, eval_str=True).parameters.values()
            if one.kind is one.KEYWORD_ONLY
        ),
    ]
    own: Any = run
    # Options are given by name, so their order does not matter to Python.
    own.__signature__ = inspect.Signature(
        [one.replace(kind=one.KEYWORD_ONLY) for one in parameters], return_annotation=None
    )
    return run


def method_of(platform: Platform, name: str) -> MethodDescriptor:
    """A method of the platform's service."""
    return platform.service.methods_by_name[name]


def request_of(method: MethodDescriptor, **fields: Any) -> Any:
    """A request of that method."""
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(method.input_type)(**fields)


async def ask(client: Client, method: MethodDescriptor, request: Message, timeout_s: float) -> Any:
    """One call. Raises grpc.aio.AioRpcError."""
    return await client.method(method)(request, timeout=timeout_s)
