"""The OpenAPI 3.1 document, made from the very table that the server routes by.

A document that is written by hand drifts from what the server does. This one can't: paths, parameters,
bodies and answers come from the routes, and every schema from the dataclass that is encoded.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec

from orchestrator.api.parameters import Parameter
from orchestrator.api.problems import CONTENT_TYPE, Problem
from orchestrator.api.route import JSON, Route

REFERENCE: Final = "#/components/schemas/{name}"
ALWAYS: Final = (400, 403, 500)

Json = dict[str, Any]


def document(routes: Sequence[Route]) -> Json:
    """Return the document that describes `routes`."""
    types = [route.answer for route in routes] + [route.body for route in routes if route.body] + [Problem]
    schemas, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    answers = dict(zip([route.path + route.method for route in routes], schemas, strict=False))
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _operation(route, answers[route.path + route.method])
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tarmak", "version": version("tarmak"), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, schema: Json) -> Json:
    operation: Json = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": [*_path_parameters(route.path), *map(_parameter, route.parameters)],
        "responses": {str(route.status): _answer(route, schema), **_problems(route.refusals)},
    }
    body = _body(route)
    return operation if body is None else {**operation, "requestBody": body}


def _body(route: Route) -> Json | None:
    if route.upload:
        return {"required": True, "content": {"application/gzip": {"schema": {}}}}
    if route.body is None:
        return None
    (schema,), _ = msgspec.json.schema_components([route.body], ref_template=REFERENCE)
    return {"required": route.body_needed, "content": {JSON: {"schema": schema}}}


def _answer(route: Route, schema: Json) -> Json:
    content: Json = {JSON: {"schema": schema}}
    if route.stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {"description": route.summary, "content": content}


def _problems(refusals: Iterable[int]) -> Mapping[str, Json]:
    problem = {"schema": {"$ref": REFERENCE.format(name="Problem")}}
    return {
        str(status): {"description": "A problem (RFC 9457).", "content": {CONTENT_TYPE: problem}}
        for status in sorted({*ALWAYS, *refusals})
    }


def _parameter(parameter: Parameter) -> Json:
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.summary,
        "schema": {"type": "array", "items": schema} if parameter.repeated else schema,
    }


def _path_parameters(path: str) -> list[Json]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
