"""Authorizations that are captured in parts, raised, taken beyond what was authorized, and released."""

import stripe
from support import V1, check, refused, same

BAD = stripe.InvalidRequestError
WISHES = ["multicapture", "overcapture", "incremental_authorization"]


def hold(amount=10000, wishes=(), **more):
    """An authorization with these wishes, and its charge."""
    options = {"card": {f"request_{wish}": "if_available" for wish in wishes}}
    return V1.payment_intents.create({"amount": amount, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True,
                                      "capture_method": "manual", "payment_method_options": options, "expand": ["latest_charge"], **more})


def take(payment, amount=None, **more):
    return V1.payment_intents.capture(payment.id, {**({} if amount is None else {"amount_to_capture": amount}), **more})


def stands(payment):
    return (payment.status, payment.amount, payment.amount_received, payment.amount_capturable)


def lines(payment):
    """The merchant's lines about its charge, oldest first."""
    found = V1.balance_transactions.list({"source": payment.latest_charge if isinstance(payment.latest_charge, str) else payment.latest_charge.id})
    return list(reversed(found.data))


# what is wished and what is granted
plain = hold()
card = plain.latest_charge.payment_method_details.card
same("nothing wished, nothing granted", [getattr(card, wish).status for wish in WISHES], ["unavailable"] * 3)
check("it says when it lapses", card.capture_before > plain.created + 6 * 86400, card.capture_before)
refused("in parts without the wish", BAD, lambda: take(plain, 5, final_capture=False), code="parameter_invalid_value", param="final_capture")
refused("beyond without the wish", BAD, lambda: take(plain, 10001), code="amount_too_large", param="amount_to_capture")
refused("raised without the wish", BAD, lambda: V1.payment_intents.increment_authorization(plain.id, {"amount": 12000}),
        code="incremental_authorization_unavailable")
refused("nothing at all", BAD, lambda: take(plain, 0), param="amount_to_capture")
same("and it is captured as ever", stands(take(plain)), ("succeeded", 10000, 10000, 0))
check("what is captured lapses no more", V1.charges.retrieve(plain.latest_charge.id).payment_method_details.card.capture_before is None)

# in parts: one authorization, three captures, each with its line, one fee for all
parted = hold(wishes=WISHES, receipt_email="ada@example.com")
card = parted.latest_charge.payment_method_details.card
same("wished and granted", [getattr(card, wish).status for wish in WISHES], ["available"] * 3)
same("the wishes are kept", parted.payment_method_options.card.request_multicapture, "if_available")
one = take(parted, 2500, final_capture=False)
same("a part, and the rest still stands", stands(one), ("requires_capture", 10000, 2500, 7500))
charge = V1.charges.retrieve(parted.latest_charge.id)
same("its charge is not captured yet", (charge.captured, charge.amount_captured), (False, 2500))
same("a part that leaves nothing is the last", take(hold(900, WISHES), 900, final_capture=False).status, "succeeded")
refused("more than is left", BAD, lambda: take(parted, 7501, final_capture=False), code="amount_too_large", param="amount_to_capture")
refused("a raise after a part", BAD, lambda: V1.payment_intents.increment_authorization(parted.id, {"amount": 12000}),
        code="payment_intent_unexpected_state")
back = V1.refunds.create({"payment_intent": parted.id, "amount": 1500})
same("what was captured can go back while the rest stands", back.status, "succeeded")
refused("and no more than that", BAD, lambda: V1.refunds.create({"payment_intent": parted.id, "amount": 1001}), code="amount_too_large")
two = take(parted, 2500, final_capture=False)
same("another part", stands(two), ("requires_capture", 10000, 5000, 5000))
three = take(parted, 3000)
same("the last releases the rest", stands(three), ("succeeded", 10000, 8000, 0))
booked = [line for line in lines(parted) if line.type == "charge"]
same("each part has its line", [line.amount for line in booked], [2500, 2500, 3000])
whole = hold(8000)
take(whole)
same("the fee of parts is the fee of the whole", sum(line.fee for line in booked), lines(whole)[0].fee)

# what is left after parts is released, not refunded
rest = hold(wishes=["multicapture"])
take(rest, 4000, final_capture=False)
same("canceled after a part: what was taken stays", stands(V1.payment_intents.cancel(rest.id)), ("succeeded", 10000, 4000, 0))
refused("and that is the end", BAD, lambda: take(rest, 1), code="payment_intent_unexpected_state")
rest = hold(wishes=["multicapture"])
take(rest, 4000, final_capture=False)
same("or by a last capture of nothing", stands(take(rest, 0)), ("succeeded", 10000, 4000, 0))
same("which is no refund", len(V1.refunds.list({"payment_intent": rest.id}).data), 0)

# beyond what was authorized
over = hold(wishes=["overcapture"])
most = over.latest_charge.payment_method_details.card.overcapture.maximum_amount_capturable
check("the acquirer says how far", most > 10000, most)
refused("not further", BAD, lambda: take(over, most + 1), code="amount_too_large", param="amount_to_capture")
same("as far as that", stands(take(over, most)), ("succeeded", 10000, most, 0))
same("and all of it goes back", V1.refunds.create({"payment_intent": over.id}).amount, most)

# raised
raised = hold(wishes=["incremental_authorization", "overcapture"])
refused("to no more than it is", BAD, lambda: V1.payment_intents.increment_authorization(raised.id, {"amount": 10000}),
        code="parameter_invalid_integer", param="amount")
more = V1.payment_intents.increment_authorization(raised.id, {"amount": 15000, "description": "two more nights", "expand": ["latest_charge"]})
same("raised", (stands(more), more.description, more.latest_charge.amount), (("requires_capture", 15000, 0, 15000), "two more nights", 15000))
check("how far it can be taken rises with it", more.latest_charge.payment_method_details.card.overcapture.maximum_amount_capturable > 15000)
declined = refused("further than its issuer goes", stripe.CardError,
                   lambda: V1.payment_intents.increment_authorization(raised.id, {"amount": 999900}),
                   code="card_declined", decline_code="insufficient_funds", http_status=402)
same("the error shows the payment as it stands", declined.error.payment_intent.amount, 15000)
same("what stood, stands", stands(V1.payment_intents.retrieve(raised.id)), ("requires_capture", 15000, 0, 15000))
same("and is captured", stands(take(raised)), ("succeeded", 15000, 15000, 0))
sold = hold(2000, ["incremental_authorization"], line_items=[{"name": "Tea", "deal_price": 2000}])
refused("what was sold is sold", BAD, lambda: V1.payment_intents.increment_authorization(sold.id, {"amount": 2100}), code="line_items_mismatch")
again = hold(wishes=["incremental_authorization"])
V1.payment_intents.increment_authorization(again.id, {"amount": 11000})
same("raised and released", V1.payment_intents.cancel(again.id).status, "canceled")

# what is told
since = {"limit": 100, "created": {"gte": parted.created}}
kinds = [event.type for event in V1.events.list(since).auto_paging_iter() if event.data.object.id in (parted.id, parted.latest_charge.id)]
same("each part is told, the last as the end", [kinds.count(kind) for kind in
     ("charge.updated", "payment_intent.amount_capturable_updated", "charge.captured", "payment_intent.succeeded")], [2, 3, 1, 1])
