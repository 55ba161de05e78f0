"""Forms as the sandboxes are sent them."""

from __future__ import annotations

from aiohttp import web


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPBadRequest for what is none: a multipart without a boundary,
    a charset that nobody knows, bytes that are not of their charset.
    """
    try:
        return {name: str(value) for name, value in (await request.post()).items()}
    except (ValueError, LookupError) as error:
        raise web.HTTPBadRequest(text=f"The form cannot be read: {error}") from None
