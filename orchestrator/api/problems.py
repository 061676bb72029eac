"""Errors as RFC 9457 problems: what happened, why, and in `action` what to do about it.

Whatever goes wrong behind a route leaves it as one of these, never as a page of HTML or a traceback:
a refusal of the service, a request that is not understood, HTTP's own errors and our own faults.
"""

from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from orchestrator.operations import RefusedError
from orchestrator.ports import JournalError

CONTENT_TYPE: Final = "application/problem+json"
ACTIONS: Final = {
    404: "See /v1/openapi.json for what there is.",
    405: "See /v1/openapi.json for what may be done here.",
    413: "Send less, or in parts.",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem's members as RFC 9457 has them, with our `kind` (a stable word) and `action`."""

    type: str
    kind: str
    title: str
    status: int
    detail: str
    action: str


def refusal(detail: str, *, action: str, kind: str = "bad-request", status: int = 400) -> RefusedError:
    """Return the error for a request that is not understood."""
    return RefusedError(
        kind=kind, status=status, title="The request is not understood", detail=detail, action=action
    )


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with a problem whatever a handler raises."""
    try:
        return await handler(request)
    except RefusedError as error:
        return _answer(error.kind, error.status, error.title, error.detail, error.action)
    except web.HTTPException as error:
        action = ACTIONS.get(error.status, "See /v1/openapi.json.")
        return _answer("http", error.status, error.reason, f"{request.method} {request.path}", action)
    except JournalError as error:
        return _answer("journal", 503, "The journal can't be used", error.reason, f"{error.action}.")
    except TimeoutError:
        return _answer("timeout", 408, "The request took too long", request.path, "Try again.")
    except ConnectionError:
        raise  # the caller has gone: there is nobody to answer
    except Exception:  # the outermost edge of a request: said in full to the log, briefly to the caller
        log.exception("request failed", method=request.method, path=request.path)
        action = "See the orchestrator's log for the cause, and report it."
        return _answer("internal", 500, "The orchestrator failed", f"{request.method} {request.path}", action)


def _answer(kind: str, status: int, title: str, detail: str, action: str) -> web.Response:
    problem = Problem(
        type=f"urn:tarmak:problem:{kind}",
        kind=kind,
        title=title,
        status=status,
        detail=detail,
        action=action,
    )
    return web.Response(status=status, body=msgspec.json.encode(problem), content_type=CONTENT_TYPE)
