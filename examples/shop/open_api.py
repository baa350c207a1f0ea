"""The OpenAPI document of a subsystem, made from its endpoints."""

from collections.abc import Sequence
from re import findall
from typing import Any

import msgspec

from examples.shop.http_interface import CommandEndpoint, Endpoint, ViewEndpoint, name_of

_COMPONENTS = "#/components/schemas/{name}"


class Refused(msgspec.Struct):
    """Why a command was refused."""

    reasons: list[str]


class Failed(msgspec.Struct):
    """What was wrong."""

    error: str


class CarriedOut(msgspec.Struct):
    """What came of a command."""

    events: list[str]
    version: int
    position: int
    duplicate: bool


def document_of(title: str, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the document, in version 3.1.0 of the specification."""
    commands = [command for endpoint in endpoints for command in _commands_of(endpoint)]
    results = [endpoint.result for endpoint in endpoints if isinstance(endpoint, ViewEndpoint)]
    types = [*dict.fromkeys([CarriedOut, Refused, Failed, *commands]), *results]
    schemas, components = msgspec.json.schema_components(types, ref_template=_COMPONENTS)
    schema_of = {str(type_): schema for type_, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = (
            _command_operation(endpoint, schema_of)
            if isinstance(endpoint, CommandEndpoint)
            else _view_operation(endpoint, schema_of)
        )
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _commands_of(endpoint: Endpoint) -> tuple[type, ...]:
    return endpoint.commands if isinstance(endpoint, CommandEndpoint) else ()


def _command_operation(endpoint: CommandEndpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    names = [name_of(command) for command in endpoint.commands]
    return {
        "summary": f"Carry out {', '.join(names)}",
        "parameters": [
            *_path_parameters(endpoint.path),
            _parameter("Command-Type", "header", {"type": "string", "enum": names}),
            _parameter("Command-Id", "header", {"type": "string"}),
            _parameter("Expected-Version", "header", {"type": "integer"}, required=False),
        ],
        "requestBody": {
            "content": _json({"anyOf": [schema_of[str(command)] for command in endpoint.commands]}),
        },
        "responses": {
            "200": _response("carried out, now or before", schema_of[str(CarriedOut)]),
            "400": _response("it does not parse", schema_of[str(Failed)]),
            "409": _response("others were quicker", schema_of[str(Failed)]),
            "422": _response("rejected", schema_of[str(Refused)]),
        },
    }


def _view_operation(endpoint: ViewEndpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": "Ask the view",
        "parameters": [
            *_path_parameters(endpoint.path),
            _parameter("position", "query", {"type": "integer"}, required=False),
        ],
        "responses": {
            "200": _response("found", schema_of[str(endpoint.result)]),
            "400": _response("the position is none", schema_of[str(Failed)]),
            "404": _response("there is none", schema_of[str(Failed)]),
            "503": _response("the view has not seen the position yet", schema_of[str(Failed)]),
        },
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [_parameter(name, "path", {"type": "string"}) for name in findall(r"{(\w+)}", path)]


def _parameter(name: str, place: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": _json(schema)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
