"""Webhooks: a real receiver, signatures judged by the SDK, retries with the same event, and an endpoint's life."""

import http.server
import queue
import threading
import time

from support import V1, check, client, eventually, pay, refused, same
import standardwebhooks
import stripe

received = queue.Queue()
failing = set()  # texts: the first delivery that has one is answered with 500


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        wrong = next((text for text in failing if text in body), None)
        failing.discard(wrong)
        status = 500 if wrong else 200
        received.put((status, self.headers, body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
endpoint = V1.webhook_endpoints.create(
    {"url": f"http://127.0.0.1:{server.server_port}/hook", "enabled_events": ["payment_intent.succeeded", "charge.refunded"], "description": "a test"}
)
same("created", (endpoint.object, endpoint.status, endpoint.description), ("webhook_endpoint", "enabled", "a test"))
check("the secret is shown once", endpoint.secret.startswith("whsec_"))
check("and never again", getattr(V1.webhook_endpoints.retrieve(endpoint.id), "secret", None) is None)


def delivery(kind, object_id):
    """The next delivery of this type about this object; others are other scripts' business."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status, headers, body = received.get(timeout=1)
        except queue.Empty:
            continue
        event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], endpoint.secret)
        if event.type not in endpoint.enabled_events:
            check("only what was asked for is sent", False, event.type)
        if event.type == kind and event.data.object.id == object_id:
            return status, headers, body, event
    check(f"{kind} delivered within 60 s", False)


paid = pay(3300)
_, headers, body, event = delivery("payment_intent.succeeded", paid.id)
check("delivered, and the SDK accepts the signature", event.id.startswith("evt_"))
same("the event holds the payment", (event.object, event.data.object.amount, event.livemode), ("event", 3300, False))
same("it can be retrieved", V1.events.retrieve(event.id).data.object.id, paid.id)
same("JSON, as Stripe sends it", headers["Content-Type"].split(";")[0], "application/json")
for what, changed in {"another body": (body + b" ", endpoint.secret), "another secret": (body, "whsec_other")}.items():
    try:
        stripe.Webhook.construct_event(changed[0], headers["Stripe-Signature"], changed[1])
        check(f"{what} is not accepted", False)
    except stripe.SignatureVerificationError:
        check(f"{what} is not accepted", True)

# a receiver that fails is tried again: same event, new signature time
failing.add(paid.latest_charge.encode())
V1.refunds.create({"payment_intent": paid.id, "amount": 100})
status, first_headers, first_body, first_event = delivery("charge.refunded", paid.latest_charge)
same("the receiver failed", status, 500)
status, _, second_body, second_event = delivery("charge.refunded", paid.latest_charge)
same("and is tried again", (status, second_event.id), (200, first_event.id))
same("with the same body", second_body, first_body)

# the same delivery under the other scheme, judged by that project's own library
standardwebhooks.Webhook(endpoint.secret).verify(first_body, dict(first_headers))
check("Standard Webhooks accepts the signature", True)
same("its id is the event's", first_headers["webhook-id"], first_event.id)
for what, body, secret in (("another body", first_body + b" ", endpoint.secret), ("another secret", first_body, "whsec_" + "ab" * 32)):
    try:
        standardwebhooks.Webhook(secret).verify(body, dict(first_headers))
        check(f"it does not accept {what}", False)
    except standardwebhooks.WebhookVerificationError:
        check(f"it does not accept {what}", True)


# the log of deliveries, and an event again
def raw(method, path, **params):
    """What the SDK has no method for, by the SDK's own transport."""
    return stripe.StripeObject.construct_from(client().raw_request(method, path, **params).data, None)


def logged(event_id):
    """This event's line in the log of the endpoint's deliveries."""
    listed = raw("get", f"/v1/webhook_endpoints/{endpoint.id}/deliveries?limit=100").data
    return next((row for row in listed if row.event == event_id), None)


eventually("the second attempt is in the log", lambda: logged(first_event.id).status == "delivered")
entry = logged(first_event.id)
same("both attempts are", [(a.attempt, a.status) for a in entry.attempts], [(2, 200), (1, 500)])
same("of this type", (entry.object, entry.event_type), ("webhook_delivery", "charge.refunded"))
raw("post", f"/v1/events/{first_event.id}/retry", webhook_endpoint=endpoint.id)
status, again_headers, again_body, again_event = delivery("charge.refunded", paid.latest_charge)
same("delivered again, with its id", (status, again_event.id, again_headers["webhook-id"]), (200, first_event.id, first_event.id))
eventually("and that is in the log", lambda: len(logged(first_event.id).attempts) == 3)

# a secret is rolled: both sign, until the old one is over
rolled = raw("post", f"/v1/webhook_endpoints/{endpoint.id}/roll_secret", expires_in=3600)
check("a new secret", rolled.secret.startswith("whsec_") and rolled.secret != endpoint.secret)
raw("post", f"/v1/events/{first_event.id}/retry", webhook_endpoint=endpoint.id)
_, headers, body, _ = delivery("charge.refunded", paid.latest_charge)
for name, secret in (("old", endpoint.secret), ("new", rolled.secret)):
    stripe.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    standardwebhooks.Webhook(secret).verify(body, dict(headers))
    check(f"the {name} secret is good", True)
last = raw("post", f"/v1/webhook_endpoints/{endpoint.id}/roll_secret", expires_in=0)
endpoint.secret = last.secret
raw("post", f"/v1/events/{first_event.id}/retry", webhook_endpoint=endpoint.id)
_, headers, body, _ = delivery("charge.refunded", paid.latest_charge)
same("one signature", headers["webhook-signature"].count("v1,"), 1)
try:
    standardwebhooks.Webhook(rolled.secret).verify(body, dict(headers))
    check("the old secret is over", False)
except standardwebhooks.WebhookVerificationError:
    check("the old secret is over", True)
refused("an overlap of a year", stripe.InvalidRequestError,
        lambda: raw("post", f"/v1/webhook_endpoints/{endpoint.id}/roll_secret", expires_in=31536000), http_status=400, param="expires_in")
refused("an event that never was", stripe.InvalidRequestError, lambda: raw("post", "/v1/events/evt_none/retry"), http_status=404)

# an endpoint's life
moved = V1.webhook_endpoints.update(endpoint.id, {"enabled_events": ["payment_intent.canceled"], "disabled": True})
same("disabled", (moved.status, moved.enabled_events), ("disabled", ["payment_intent.canceled"]))
check("listed", endpoint.id in [row.id for row in V1.webhook_endpoints.list({"limit": 100}).auto_paging_iter()])
same("deleted", V1.webhook_endpoints.delete(endpoint.id).deleted, True)
refused("gone", stripe.InvalidRequestError, lambda: V1.webhook_endpoints.retrieve(endpoint.id), http_status=404)

# development lets endpoints be private and plain, so that a receiver can run beside the service; these are wrong everywhere
for url in ("ftp://example.com/x", "https://user:pw@example.com/", "nonsense", "https://"):
    refused(f"target {url}", stripe.InvalidRequestError,
            lambda: V1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]}), http_status=400, param="url")
refused("no event type", stripe.InvalidRequestError,
        lambda: V1.webhook_endpoints.create({"url": endpoint.url, "enabled_events": ["Payment succeeded"]}), param="enabled_events")
