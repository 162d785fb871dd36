"""The documentation page: the OpenAPI document as one page of HTML that needs nothing from anywhere else.

No script and no file beside it; the one style sheet is in the page, and its hash in the policy that forbids all else.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

from .endpoint import Headers, Reply

_HOST: Final = re.compile(rb"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_BASE: Final = b"@base-of-this-server@"
_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem 1.25rem 4rem }
h1 { margin-bottom: 0 } h2 { margin-top: 3rem; border-top: 1px solid #8886; padding-top: 1.5rem }
h2 code { font-size: 1.1rem } a { color: inherit }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #8881; border-radius: 6px; padding: .75rem 1rem; overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8884 }
nav ul { columns: 2; padding-left: 1.2rem } .quiet { opacity: .75 }
"""
_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DocsPage:
    """The page, rendered once; only the address in its curl lines is put in for each reader."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._html = _page(document).encode()
        digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
        self._headers: Headers = (
            (b"content-security-policy", _POLICY.format(digest).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        )

    def reply(self, scheme: str, host: bytes) -> Reply:
        """The page for a reader who came by this address."""
        # What a client says about the host is taken only when it can be nothing else.
        known = host if _HOST.fullmatch(host) else b"127.0.0.1"
        base = (b"https" if scheme == "https" else b"http") + b"://" + known
        return Reply(
            200, self._html.replace(_BASE, base), headers=self._headers, content_type=b"text/html; charset=utf-8"
        )


def _page(document: dict[str, Any]) -> str:
    info = document["info"]
    calls = [(path, method, call) for path, item in document["paths"].items() for method, call in item.items()]
    schemas = document["components"]["schemas"]
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])} Version {escape(info['version'])}.",
            'The same as data: <a href="/openapi.json">/openapi.json</a>.</p>',
            "<p>The lines below work as they stand once your API key is in the environment:</p>",
            "<pre>export FARTHING_API_KEY=cs_...</pre>",
            "<nav><ul>",
            *(f'<li><a href="#{c["operationId"]}">{escape(c["summary"])}</a></li>' for _, _, c in calls),
            "</ul></nav>",
            *(part for call in calls for part in _call(*call, schemas)),
            *_problems(document.get("x-problems", {})),
            "</body></html>",
        )
    )


def _call(path: str, method: str, call: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    done = max(status for status in call["responses"] if status < "300")
    answer = next(iter(call["responses"][done]["content"].values()))["examples"]["example"]["value"]
    answer = answer if isinstance(answer, str) else json.dumps(answer, indent=2)
    yield f'<h2 id="{call["operationId"]}">{escape(call["summary"])}<br>'
    yield f"<code>{method.upper()} {escape(path)}</code></h2>"
    yield from (f"<p>{_text(paragraph)}</p>" for paragraph in call["description"].split("\n\n"))
    yield from _parameters(call)
    content = call.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        yield from _fields(_resolve(content["schema"], schemas), schemas)
    yield f"<pre>{escape(_curl(path, method, call, content and content['examples']['example']['value']))}</pre>"
    yield f"<p>Answers:</p><pre>{escape(answer)}</pre>"
    yield "<table><tr><th>Status</th><th>Code</th><th>For example</th></tr>"
    for status, response in call["responses"].items():
        if status >= "400":
            yield from _errors(status, response)
    yield "</table>"


def _errors(status: str, response: dict[str, Any]) -> Iterator[str]:
    (content,) = response["content"].values()
    for code, example in content["examples"].items():
        body = example["value"]
        message = escape(next(body[name] for name in ("message", "detail", "error") if name in body))
        yield f"<tr><td>{status}</td><td><code>{escape(code)}</code></td><td>{message}</td></tr>"


def _problems(problems: dict[str, Any]) -> Iterator[str]:
    """Where the `type` of a problem leads."""
    if not problems:
        return
    yield "<h2>Problems</h2><table><tr><th>Status</th><th>Code</th><th>For example</th></tr>"
    for code, problem in problems.items():
        name = f'<td id="problem-{code}"><code>{code}</code></td>'
        yield f"<tr><td>{problem['status']}</td>{name}<td>{escape(problem['detail'])}</td></tr>"
    yield "</table>"


def _parameters(call: dict[str, Any]) -> Iterator[str]:
    """What goes into the path, the query and the header; that every call takes a request id is said once, above."""
    told = [p for p in call["parameters"] if p["name"] != "X-Request-Id" and ("example" in p or p["in"] == "query")]
    if not told:
        return
    yield "<table><tr><th>Parameter</th><th>In</th><th></th></tr>"
    for parameter in told:
        note = "" if parameter.get("required") else '<span class="quiet">optional.</span> '
        yield f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{parameter['in']}</td>"
        yield f"<td>{note}{_text(parameter['description'])}</td></tr>"
    yield "</table>"


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield "<table><tr><th>Field</th><th>Type</th><th></th></tr>"
    for name, required, field in _flat(schema, schemas, ""):
        note = "" if required else '<span class="quiet">optional.</span> '
        yield f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(field))}</td>"
        yield f"<td>{note}{_text(field.get('description', ''))}</td></tr>"
    yield "</table>"


def _flat(schema: dict[str, Any], schemas: dict[str, Any], prefix: str) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """All fields, those of objects in the object included."""
    required = schema.get("required", [])
    for name, raw in schema["properties"].items():
        field = _resolve(raw, schemas)
        yield prefix + name, name in required, field
        if "properties" in field:
            yield from _flat(field, schemas, f"{prefix}{name}.")


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """What a reference means; of "this or null", this."""
    if "$ref" in schema:
        found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
        return found
    options = [o for o in schema.get("anyOf", ()) if o != {"type": "null"}]
    return _resolve(options[0], schemas) if options else schema


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    kind: str = field.get("type", "any")
    if kind == "string" and "maxLength" in field:
        return f"string, at most {field['maxLength']}"
    if kind == "integer" and "maximum" in field:
        return f"integer, {field['minimum']:,} to {field['maximum']:,}"
    return kind


def _curl(path: str, method: str, call: dict[str, Any], example: dict[str, Any] | None) -> str:
    fields = ['"X-API-Key: $FARTHING_API_KEY"']
    for parameter in call["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        elif parameter["in"] == "header" and parameter.get("required"):
            fields.append(f'"{parameter["name"]}: {parameter["example"]}"')
    query = {p["name"]: p["example"] for p in call["parameters"] if p["in"] == "query" and p.get("required")}
    address = _BASE.decode() + path + (f"?{urlencode(query)}" if query else "")
    data = []
    if example is not None:
        fields.append('"Content-Type: application/json"')
        # In single quotes a shell takes everything as it is, but for the quote itself.
        data = ["-d '" + json.dumps(example).replace("'", "'\\''") + "'"]
    lines = [" ".join(f"-H {field}" for field in fields), *data]
    # A shell would end the line at the & between two parameters.
    quoted = f"'{address}'" if query else address
    return " \\\n  ".join([f"curl -X {method.upper()} {quoted}", *lines])


def _text(text: str) -> str:
    """Prose with `code` in it."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
