"""Signed requests, as an independent implementation of RFC 9421 makes them and as the official SDK sends them.

    python signed.py DIR/dev.json KEYS        KEYS: {"id", "key", "signing_secret"} of a key that demands signatures
"""

import base64
import datetime
import json
import secrets
import sys
import time

import requests
import stripe
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

from support import DEV, check, client, refused, same

KEY = json.loads(sys.argv[2])
ALWAYS = ("@method", "@target-uri")
SESSION = requests.Session()
SESSION.verify = DEV["ca_file"]
SESSION.trust_env = False  # no netrc: Authorization stays what is set here


def signer(secret=KEY["signing_secret"]):
    private = {KEY["id"]: base64.b64decode(secret), "key_other": base64.b64decode(secret)}
    resolver = MappingKeyResolver(public_keys={}, private_keys=private)
    return HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=resolver)


def sign(request, secret=KEY["signing_secret"], key_id=KEY["id"], cover=None, **options):
    """Signs a prepared request with everything that the profile asks for."""
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    if cover is None:
        present = [name for name in ("idempotency-key", "stripe-account") if name in request.headers]
        cover = (*ALWAYS, *(["content-type"] if body else []), *present)
    options = {"nonce": secrets.token_urlsafe(24), "body": body or None, **options}
    signer(secret).sign(request, key_id=key_id, covered_component_ids=cover, **options)
    return request


def post(path="/v1/payment_intents", key=KEY["key"], headers=None, **options):
    data = options.pop("data", {"amount": "700", "currency": "usd"})
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": secrets.token_hex(8), **(headers or {})}
    return SESSION.prepare_request(requests.Request("POST", DEV["api_url"] + path, headers=headers, data=data, **options))


def get(path, headers=None, params=None):
    headers = {"Authorization": f"Bearer {KEY['key']}", **(headers or {})}
    return SESSION.prepare_request(requests.Request("GET", DEV["api_url"] + path, headers=headers, params=params))


def send(request):
    return SESSION.send(request)


def accepted(what, request):
    answer = send(request)
    check(what, answer.status_code == 200, answer.text)
    return answer.json()


def turned_away(what, request, code="signature_invalid"):
    answer = send(request)
    same(what, (answer.status_code, answer.json()["error"].get("code")), (401, code))
    return answer.json()["error"]["message"]


made = accepted("a form", sign(post()))
accepted("JSON", sign(post(data=json.dumps({"amount": 800, "currency": "usd"}), headers={"Content-Type": "application/json"})))
same("without a body", accepted("a GET", sign(get(f"/v1/payment_intents/{made['id']}")))["id"], made["id"])
accepted("a query", sign(get("/v1/payment_intents", params={"limit": 2, "expand[]": "data.customer"})))
accepted("the address in parts", sign(get("/v1/payment_intents", params={"limit": 2}), cover=("@method", "@authority", "@path", "@query")))
accepted("with expires", sign(post(), expires=datetime.datetime.now() + datetime.timedelta(seconds=60)))
accepted("without alg", sign(post(), include_alg=False))

turned_away("no signature", post(), "signature_required")

once = sign(post())
accepted("the first time", once)
turned_away("the same request again", once, "signature_replayed")
nonce = secrets.token_urlsafe(24)
accepted("a nonce", sign(post(), nonce=nonce))
turned_away("the nonce in another request", sign(get("/v1/payment_intents"), nonce=nonce), "signature_replayed")
now = datetime.datetime.now()
turned_away("created long ago", sign(post(), created=now - datetime.timedelta(seconds=310)))
turned_away("created far ahead", sign(post(), created=now + datetime.timedelta(seconds=310)))
turned_away("expired", sign(post(), created=now - datetime.timedelta(seconds=60), expires=now - datetime.timedelta(seconds=5)))
turned_away("good for an hour", sign(post(), created=now, expires=now + datetime.timedelta(hours=1)))
turned_away("no nonce", sign(post(), nonce=None))
turned_away("a short nonce", sign(post(), nonce="abc"))


def changed(what, change):
    request = sign(post())
    change(request)
    return what, turned_away(what, request)


def body(request):
    request.body = request.body.replace("700", "900")


def body_and_digest(request):
    import hashlib

    body(request)
    request.headers["Content-Digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(request.body.encode()).digest()).decode()}:"


def no_body(request):
    request.body = None
    request.headers["Content-Length"] = "0"


def path(request):
    request.url = request.url.replace("payment_intents", "customers")


def signature(request):
    # 32 bytes end in "=:"; the first byte is another one
    text = request.headers["Signature"]
    at = text.index(":") + 1
    request.headers["Signature"] = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def truncated(request):
    label, value = request.headers["Signature"].split("=", 1)
    half = base64.b64encode(base64.b64decode(value.strip(":"))[:16]).decode()
    request.headers["Signature"] = f"{label}=:{half}:"


changed("a swapped body", body)
changed("the body taken away", no_body)
changed("another path", path)
changed("another Idempotency-Key", lambda request: request.headers.update({"Idempotency-Key": "other"}))
changed("an account added", lambda request: request.headers.update({"Stripe-Account": DEV["merchants"][1]["id"]}))
wrong = {
    text
    for _, text in [
        changed("body and digest swapped", body_and_digest),
        changed("another signature", signature),
        changed("a truncated signature", truncated),
        changed("another algorithm", lambda request: request.headers.update(
            {"Signature-Input": request.headers["Signature-Input"].replace("hmac-sha256", "ed25519")})),
        ("another secret", turned_away("another secret", sign(post(), secret=base64.b64encode(b"x" * 32).decode()))),
    ]
}
same("a wrong MAC has one text", len(wrong), 1)
turned_away("signed by another key", sign(post(), key_id="key_other"))
turned_away("a signature is checked where none is demanded", sign(post(key=DEV["secret_key"])))
turned_away("only the header of it", post(headers={"Signature-Input": 'sig1=("@method")'}))


class Signing(requests.auth.AuthBase):
    """The SDK's own HTTP client, with a signature on every attempt."""

    def __call__(self, request):
        return sign(request)


SESSION.auth = Signing()
sdk = client(KEY["key"], http_client=stripe.RequestsClient(session=SESSION)).v1
paid = sdk.payment_intents.create({"amount": 1200, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True})
same("the SDK pays, signed", paid.status, "succeeded")
same("and lists, signed", sdk.payment_intents.list({"limit": 1}).data[0].id, paid.id)
refused("the SDK unsigned", stripe.AuthenticationError, lambda: client(KEY["key"]).v1.payment_intents.list(), http_status=401)
