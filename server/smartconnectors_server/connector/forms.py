"""Bodies and forms as the sandboxes are sent them."""

from __future__ import annotations

from aiohttp import web


async def body_of(request: web.Request) -> bytes:
    """The whole body. Raises HTTPBadRequest when the connection ends before it does."""
    try:
        return await request.read()
    except (ConnectionResetError, web.RequestPayloadError):
        raise web.HTTPBadRequest(text="The body ends too early") from None


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPBadRequest for what is none: a multipart without a boundary,
    an unknown charset, bytes that are not of their charset, a body that ends too early.
    """
    await body_of(request)
    try:
        return {name: str(value) for name, value in (await request.post()).items()}
    except (ValueError, LookupError) as error:
        raise web.HTTPBadRequest(text=f"The form cannot be read: {error}") from None
