"""`…/html` and `…/rows`: Markdown as a page, and tables by their rows."""

from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from datamanager.kinds.markdown.html import render_markdown
from datamanager.playback.contents import Contents
from datamanager.playback.routes.parameters import Cursor, Limit
from datamanager.playback.row_pages import RowPages, Rows

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


@get("/records/{record_id:str}/rows", summary="Rows of a csv record", tags=["playback"])
async def get_rows(
    row_pages: NamedDependency[RowPages],
    record_id: FromPath[str],
    offset: Annotated[str | None, QueryParameter(description="the number of the first row, from 0")] = None,
    limit: Limit = None,
    columns: Annotated[list[str] | None, QueryParameter(description="columns; all when none is named")] = None,
    cursor: Cursor = None,
) -> Rows:
    """Typed rows, a page at a time; a cursor leads to the next page at once, wherever in the table that is."""
    return await row_pages.page(record_id, offset=offset, limit=limit, columns=columns, cursor=cursor)


TEXT_HANDLERS = [get_html, get_rows]
