"""Every row of the error table becomes its exception: the class is what a merchant's software branches on."""

import json
import os
import threading
import urllib.request
import uuid

from support import DEV, V1, check, client, pay, refused, same
import stripe

HERS = {"amount": 1000, "currency": "usd"}


def faulted(amount, ms):
    """The next payment of this amount takes this long at the acquirer."""
    rule = {"path": "/v1/payment_intents", "amount": amount, "action": "delay", "ms": ms, "remaining": 1}
    request = urllib.request.Request(f"{DEV['simulator_admin_url']}/admin/faults", data=json.dumps(rule).encode(),
                                     headers={"content-type": "application/json"})
    urllib.request.urlopen(request).read()


# 400 and 404
refused("400 a missing parameter", stripe.InvalidRequestError, lambda: V1.payment_intents.create({"currency": "usd"}), http_status=400, code="parameter_missing")
refused("400 a wrong state", stripe.InvalidRequestError, lambda: V1.payment_intents.capture(pay(900).id), http_status=400, code="payment_intent_unexpected_state")
refused("404 no such object", stripe.InvalidRequestError, lambda: V1.payment_intents.retrieve("pi_none"), http_status=404, code="resource_missing")
paid = pay(900)
V1.refunds.create({"payment_intent": paid.id})
refused("400 refunded already", stripe.InvalidRequestError, lambda: V1.refunds.create({"payment_intent": paid.id}), http_status=400, code="charge_already_refunded")
# 400 with a type of its own
key = str(uuid.uuid4())
V1.payment_intents.create(HERS, {"idempotency_key": key})
refused("400 idempotency", stripe.IdempotencyError, lambda: V1.payment_intents.create({**HERS, "amount": 1001}, {"idempotency_key": key}), http_status=400)
# 401 and 403
refused("401 a wrong key", stripe.AuthenticationError, lambda: client("sk_test_wrong").v1.payment_intents.list(), http_status=401)
refused("403 a key without the right", stripe.PermissionError, lambda: client(DEV["restricted_keys"]["finance"]).v1.payment_intents.create(HERS), http_status=403)
# 402
refused("402 a decline", stripe.CardError, lambda: pay(900, "pm_card_visa_chargeDeclined"), http_status=402, code="card_declined", decline_code="generic_decline")
refused("402 authentication", stripe.CardError, lambda: pay(900, "pm_card_authenticationRequired", off_session=True), http_status=402, code="authentication_required")
# 409: the same key while the first request is at the acquirer
faulted(4242409, 1500)
slow = {"amount": 4242409, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
key, answers = str(uuid.uuid4()), []


def attempt():
    try:
        answers.append(V1.payment_intents.create(slow, {"idempotency_key": key}))
    except stripe.StripeError as raised:
        answers.append(raised)


both = [threading.Thread(target=attempt) for _ in range(2)]
for thread in both:
    thread.start()
for thread in both:
    thread.join()
found = next(a for a in answers if isinstance(a, stripe.StripeError))
same("409 in use", (type(found), found.http_status, found.error.code), (stripe.APIError, 409, "idempotency_key_in_use"))
check("409 can be retried", found.headers["stripe-should-retry"] == "true", found.headers)
same("the other was not disturbed", next(a for a in answers if a is not found).status, "succeeded")
# 429
limited, found = client(os.environ["LIMITED_KEY"]).v1, None
for _ in range(200):
    try:
        limited.payment_intents.list({"limit": 1})
    except stripe.StripeError as error:
        found = error
        break
same("429 too many", (type(found), found.http_status), (stripe.RateLimitError, 429))
check("429 says when", int(found.headers["retry-after"]) >= 1, found.headers)
# everything else
refused("405 another method", stripe.APIError, lambda: client().raw_request("delete", "/v1/payment_intents"), http_status=405)
