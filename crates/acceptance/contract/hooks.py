"""How schemathesis speaks to a node: it signs, reuses what exists, and holds the answers to what the description says.

`QUORATE_CONTRACT` names a JSON file:
  mode     `signed`, `mangled` (signed, then spoiled) or `unsigned`
  clients  names and key files; a request is signed by one of them
  keys, operations, hashes, head   what exists, so that not only made-up names are asked for
  answers  where to write which operation was answered how often with what
"""

import atexit
import collections
import hashlib
import json
import os
import pathlib
import re
import time

import jsonschema_rs
import requests
import schemathesis
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SETTINGS = json.loads(pathlib.Path(os.environ["QUORATE_CONTRACT"]).read_text())
MODE = SETTINGS["mode"]
CLIENTS = [(c["name"], load_pem_private_key(pathlib.Path(c["key"]).read_bytes(), None)) for c in SETTINGS["clients"]]
VISIBLE = re.compile(r"[!-~]{1,128}")
MANGLINGS = ("bit", "body", "query", "expired", "ahead", "name", "stranger", "drop", "method", "upper")


def field(data):
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(4, "big") + data


def signature(key, method, path, client, expires, repeat, body):
    signed = field("quorate-request-v1") + field(method) + field(path) + field(client)
    signed += expires.to_bytes(8, "big") + field(repeat) + field(hashlib.sha256(body).digest())
    return key.sign(signed)


class Signer(requests.auth.AuthBase):
    """Signs the request that is about to leave, so that what was generated reaches the code behind the signature."""

    def __init__(self):
        self.sent = 0

    def __call__(self, request):
        self.sent += 1
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        body = body.encode() if isinstance(body, str) else body
        request.body = body or None
        digest = hashlib.sha256(request.method.encode() + request.path_url.encode() + body).digest()
        name, key = CLIENTS[digest[0] % len(CLIENTS)]
        repeat = request.headers.get("Idempotency-Key")
        if isinstance(repeat, bytes):
            repeat = repeat.decode("latin-1")
        if repeat is None and request.method != "GET":
            repeat = digest[2:10].hex()
        expires = int(time.time()) + 300
        mangling = MANGLINGS[self.sent % len(MANGLINGS)] if MODE == "mangled" else None
        if mangling == "expired":
            expires -= 1000
        if mangling == "ahead":
            expires += 30 * 24 * 3600
        # An idempotency key that cannot be signed is sent as it is: the node must refuse it by itself.
        signable = repeat if repeat and VISIBLE.fullmatch(repeat) else ""
        made = bytearray(signature(key, request.method, request.path_url, name, expires, signable, body))
        if mangling == "bit":
            made[digest[11] % 64] ^= 1 << (digest[12] % 8)
        if mangling == "body":
            request.body = body + b" "
        if mangling == "query":
            request.url += "&x=1" if "?" in request.url else "?x=1"
        if mangling == "name":
            name = next(other for other, _ in CLIENTS if other != name)
        if mangling == "stranger":
            name = "mallory"
        if mangling == "method":
            made = bytearray(signature(key, "DELETE", request.path_url, name, expires, signable, body))
        request.headers["Quorate-Client"] = name
        request.headers["Quorate-Expires"] = str(expires)
        request.headers["Quorate-Signature"] = made.hex().upper() if mangling == "upper" else made.hex()
        if repeat is not None:
            request.headers["Idempotency-Key"] = repeat
        if mangling == "drop":
            del request.headers[("Quorate-Client", "Quorate-Expires", "Quorate-Signature")[digest[13] % 3]]
        if request.body is not None:
            request.headers["Content-Length"] = str(len(request.body))
        return request


if MODE != "unsigned":
    schemathesis.auth.set_from_requests(Signer()).apply_to(lambda ctx: ctx.operation.path.startswith("/v1/"))


def pick(items, like):
    """One of `items`, always the same for the same `like`; none for one in four, so that made-up names are asked for too."""
    choice = hashlib.sha256(repr(like).encode()).digest()
    return items[choice[0] % len(items)] if items and choice[1] % 4 else None


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters:
        for name, items in (("key", SETTINGS["keys"]), ("operation", SETTINGS["operations"])):
            if name in path_parameters:
                path_parameters[name] = pick(items, path_parameters) or path_parameters[name]
    return path_parameters


@schemathesis.hook
def before_load_schema(context, raw_schema):
    if MODE == "unsigned":
        return
    # The signer writes these headers. What it makes of a request without an idempotency key has one.
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            parameters[:] = [p for p in parameters if not p["name"].startswith("Quorate-")]
            for parameter in parameters:
                if parameter["name"] == "Idempotency-Key":
                    parameter["required"] = False


@schemathesis.hook
def before_call(context, case, kwargs):
    query = case.query
    # No answer is worth a minute of waiting: what is well formed and long becomes short.
    if isinstance(query, dict) and re.fullmatch(r"[0-9]{1,5}(ms|s|m)", str(query.get("wait", ""))):
        if len(str(query["wait"])) > 4 or not str(query["wait"]).endswith("ms"):
            query["wait"] = "150ms"
    # From the first event on, so that there is one to read: schemathesis reads as many as it is told and hangs up.
    if case.operation.path == "/v1/events" and str(case.headers.get("Last-Event-ID", "0")).isdecimal():
        case.headers["Last-Event-ID"] = "0"
    body = case.body
    if isinstance(body, dict):
        if "previous" in body and pick([True], body):
            body.update(SETTINGS["head"])
        if "request_hash" in body and pick([True], body):
            body["request_hash"] = pick(SETTINGS["hashes"], body) or body["request_hash"]
        for names in ("parties", "quorum"):
            if isinstance(body.get(names), list) and body[names] and pick([True], body):
                body[names] = ["a", "b", "c"] if names == "parties" else ["a", "b"]
        # Everything would stand still for the rest of the run.
        if isinstance(body.get("scope"), dict) and body["scope"].get("kind") == "everything":
            body["scope"]["kind"] = "everybody"


ANSWERS = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    what = str(response.status_code)
    if response.status_code >= 400 and "problem" in "".join(response.headers.get("content-type", [])):
        what = response.json()["code"]
    ANSWERS[case.operation.definition.raw["operationId"]][what] += 1


@atexit.register
def report():
    pathlib.Path(SETTINGS["answers"]).write_text(json.dumps(ANSWERS))


@schemathesis.check
def nobody_gets_in(ctx, response, case):
    """Under `/v1`, what is not properly signed is refused."""
    if MODE == "signed" or not case.operation.path.startswith("/v1/"):
        return
    if not 400 <= response.status_code < 500:
        raise AssertionError(f"a request that nobody signed was answered with {response.status_code}")


@schemathesis.check
def events_are_described(ctx, response, case):
    """Each event of a stream has its number, its kind, and data of the schema `Event`."""
    if case.operation.path != "/v1/events" or response.status_code != 200:
        return
    described = case.operation.schema.raw_schema
    schema = {"$ref": "#/components/schemas/Event", "components": described["components"]}
    fields = dict(line.split(": ", 1) for line in response.text.split("\n\n")[0].splitlines())
    event = json.loads(fields["data"])
    try:
        jsonschema_rs.validator_for(schema).validate(event)
    except jsonschema_rs.ValidationError as error:
        raise AssertionError(f"the event is not as described: {error.message}") from None
    if (fields["id"], fields["event"]) != (str(event["id"]), event["type"]):
        raise AssertionError(f"the event contradicts its frame: {fields}")


@schemathesis.check
def never_500(ctx, response, case):
    """A failure of the node itself is a defect, however well described."""
    if response.status_code == 500:
        raise AssertionError(f"the node failed: {response.text[:300]}")


@schemathesis.check
def problems_are_consistent(ctx, response, case):
    """Every answer carries its request's name, and a problem says the same everywhere."""
    name = response.headers.get("x-request-id")
    if not name:
        raise AssertionError("the answer has no X-Request-Id")
    if response.status_code >= 400 and case.operation.path != "/readyz":
        problem = response.json()
        if problem["status"] != response.status_code or [problem.get("request_id")] != name:
            raise AssertionError(f"the problem contradicts its answer: {problem}, {name}")
