"""`…/html`: Markdown as a page."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from datamanager.kinds.markdown.html import render_markdown
from datamanager.playback.contents import Contents

__all__ = ["TEXT_HANDLERS"]

# Whatever may have come through the sanitiser, a browser neither runs nor loads it: pictures stand in the page itself.
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=3600",
}


@get(
    "/records/{record_id:str}/html",
    summary="A markdown record as safe HTML",
    tags=["playback"],
    media_type="text/html",
)
async def get_html(contents: NamedDependency[Contents], record_id: FromPath[str]) -> Response[str]:
    """The text as a page without scripts. `X-Rendered: false`: it would take too much to render, and stands as written."""
    page = await contents.read(record_id, {"markdown"}, render_markdown, contents.limits)
    return Response(page.html, media_type="text/html", headers=_SAFE | {"X-Rendered": str(page.rendered).lower()})


TEXT_HANDLERS = [get_html]
