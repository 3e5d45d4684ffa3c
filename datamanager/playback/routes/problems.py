"""Errors become problem details: the handlers that the application registers."""

from collections.abc import Callable
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from datamanager.errors import DatamanagerError, Refused, Unavailable
from datamanager.observability import get_logger
from datamanager.playback.problems import PROBLEM_TYPE, Problem, problem_of, problem_of_status

__all__ = ["problem_handlers", "problem_response"]

_log = get_logger(__name__)
_RETRY_AFTER_S = "1"


def problem_handlers() -> dict[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[bytes]]]:
    """The handlers of every error there can be, for `Litestar(exception_handlers=...)`."""
    return {
        DatamanagerError: _ours,
        HTTPException: _of_framework,
        RecursionError: _too_deep,
        Exception: _unexpected,
    }


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    """The answer that tells a problem."""
    return Response(problem.encode(), status_code=problem.status, media_type=PROBLEM_TYPE, headers=headers)


def _ours(request: Request[Any, Any, Any], error: DatamanagerError) -> Response[bytes]:
    problem = problem_of(error)
    if problem.status >= 500:
        _log.error("request failed", path=request.url.path, code=error.code, error=error.detail)
    return problem_response(problem, {"Retry-After": _RETRY_AFTER_S} if isinstance(error, Unavailable) else None)


def _of_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= 500:
        return _unexpected(request, error)
    allowed = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return problem_response(problem_of_status(error.status_code, _detail(error)), allowed)


def _detail(error: HTTPException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    wrong = [f"{each.get('key', 'body')}: {each.get('message')}" for each in extra if isinstance(each, dict)]
    return f"{error.detail}: {'; '.join(wrong)}" if wrong else error.detail


def _too_deep(request: Request[Any, Any, Any], error: RecursionError) -> Response[bytes]:
    # The one thing here that recurses as a caller bids is the decoder of bodies.
    _log.warning("a body is nested too deeply", path=request.url.path, error=str(error))
    return problem_response(problem_of(Refused("too_deep", "the body is nested too deeply")))


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("request failed unexpectedly", path=request.url.path, exc_info=error)
    return problem_response(problem_of(error))
