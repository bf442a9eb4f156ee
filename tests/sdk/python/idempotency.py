"""Idempotency to the letter: replays, other parameters, other endpoints, other merchants, refusals."""

import uuid

from support import DEV, V1, check, pay, refused, same
import stripe


def key():
    return {"idempotency_key": f"k-{uuid.uuid4()}"}


payment = {"amount": 1200, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
once = key()
first = V1.payment_intents.create(payment, once)
again = V1.payment_intents.create(payment, once)
same("the same object", again.id, first.id)
same("the same answer, byte for byte", again.last_response.body, first.last_response.body)
same("said to be a replay", again.last_response.headers["Idempotent-Replayed"], "true")
check("the first is none", "Idempotent-Replayed" not in first.last_response.headers)
same("the key is echoed", again.last_response.headers["Idempotency-Key"], once["idempotency_key"])
V1.payment_intents.update(first.id, {"metadata": {"later": "1"}})
same("a replay is the first answer, also after a change", V1.payment_intents.create(payment, once).last_response.body, first.last_response.body)

other = refused("other parameters", stripe.IdempotencyError, lambda: V1.payment_intents.create({**payment, "amount": 1201}, once), http_status=400)
check("the message names the rule", "same parameters" in str(other), str(other))
refused("other endpoint", stripe.IdempotencyError, lambda: V1.refunds.create({"payment_intent": first.id}, once), http_status=400)
same("and no effect", V1.charges.retrieve(first.latest_charge).amount_refunded, 0)

second = V1.payment_intents.create(payment, {**once, "stripe_account": DEV["merchants"][1]["id"]})
check("another merchant's key is another key", second.id != first.id and "Idempotent-Replayed" not in second.last_response.headers)

declined = {**payment, "payment_method": "pm_card_visa_chargeDeclined"}
kept = key()
one = refused("a decline", stripe.CardError, lambda: V1.payment_intents.create(declined, kept), decline_code="generic_decline")
two = refused("is replayed too", stripe.CardError, lambda: V1.payment_intents.create(declined, kept), decline_code="generic_decline")
same("byte for byte", two.http_body, one.http_body)
same("and said so", two.headers["Idempotent-Replayed"], "true")
same("one payment", one.error.payment_intent.id, two.error.payment_intent.id)

fixed = key()
refused("a wrong request", stripe.InvalidRequestError, lambda: V1.payment_intents.create({**payment, "amount": 0}, fixed), param="amount")
same("does not use its key up", V1.payment_intents.create(payment, fixed).status, "succeeded")

for name, call in {
    "capture": lambda options, pi=pay(500, capture_method="manual"): V1.payment_intents.capture(pi.id, {"amount_to_capture": 200}, options),
    "cancel": lambda options, pi=pay(500, capture_method="manual"): V1.payment_intents.cancel(pi.id, {}, options),
    "refund": lambda options, pi=pay(500): V1.refunds.create({"payment_intent": pi.id, "amount": 300}, options),
    "confirm": lambda options, pi=V1.payment_intents.create({"amount": 500, "currency": "usd"}):
        V1.payment_intents.confirm(pi.id, {"payment_method": "pm_card_visa"}, options),
    "customer": lambda options: V1.customers.create({"name": "Once"}, options),
}.items():
    options = key()
    bodies = [call(options).last_response.body for _ in range(3)]
    same(f"{name}: three times the same", bodies, [bodies[0]] * 3)

longest = {"idempotency_key": "k" * 215 + uuid.uuid4().hex + "12345678"}
same("a key of 255 characters", len(longest["idempotency_key"]), 255)
same("works", V1.customers.create({"name": "Long"}, longest).object, "customer")
refused("256 do not", stripe.IdempotencyError, lambda: V1.customers.create({"name": "Long"}, {"idempotency_key": longest["idempotency_key"] + "x"}), http_status=400)
