"""The scorer in the path of a payment: block, review, approve, reject."""

from support import V1, card, check, client, eventually, pay, refused, same
import stripe


def queued(amount, **more):
    paid = pay(amount, "pm_card_riskLevelElevated", expand=["latest_charge", "review"], **more)
    same("elevated risk is authorized and held", (paid.status, paid.amount_received, paid.amount_capturable), ("requires_capture", 0, amount))
    check("with a review", paid.review.id.startswith("prv_") and paid.review.open, paid.review)
    return paid, paid.review


paid, review = queued(2500)
same("the charge says why", paid.latest_charge.outcome.risk_level, "elevated")
same("the review", (review.object, review.reason, review.payment_intent), ("review", "rule", paid.id))
check("listed while open", review.id in [row.id for row in V1.reviews.list({"limit": 100}).auto_paging_iter()])
same("retrieved", V1.reviews.retrieve(review.id).charge, paid.latest_charge.id)
approved = V1.reviews.approve(review.id)
same("approved", (approved.open, approved.reason, approved.closed_reason), (False, "approved", "approved"))
captured = V1.payment_intents.retrieve(paid.id)
same("which captures", (captured.status, captured.amount_received), ("succeeded", 2500))
refused("once", stripe.InvalidRequestError, lambda: V1.reviews.approve(review.id), http_status=400)

typed = V1.payment_intents.create(
    {"amount": 2600, "currency": "usd", "confirm": True, "payment_method_data": card("4000000000009235"), "expand": ["review"]}
)
same("the number does what its token does", (typed.status, typed.review.open), ("requires_capture", True))
client().raw_request("post", f"/v1/reviews/{typed.review.id}/reject")
same("rejected", V1.reviews.retrieve(typed.review.id).open, False)
same("which cancels", V1.payment_intents.retrieve(typed.id).status, "canceled")
refused("and cannot be approved", stripe.InvalidRequestError, lambda: V1.reviews.approve(typed.review.id), http_status=400)

manual, its_review = queued(2700, capture_method="manual")
V1.reviews.approve(its_review.id)
same("a manual capture stays the merchant's", V1.payment_intents.retrieve(manual.id).status, "requires_capture")
same("and can be made", V1.payment_intents.capture(manual.id).status, "succeeded")
own, open_review = queued(2800)
V1.payment_intents.cancel(own.id)
eventually("a cancel closes the review", lambda: not V1.reviews.retrieve(open_review.id).open)

for number, token in (("4100000000000019", "pm_card_radarBlock"), ("4000000000004954", "pm_card_riskLevelHighest")):
    for what, call in {
        token: lambda: pay(2900, token),
        number: lambda: V1.payment_intents.create({"amount": 2900, "currency": "usd", "confirm": True, "payment_method_data": card(number)}),
    }.items():
        error = refused(f"{what} is blocked", stripe.CardError, call, code="card_declined", http_status=402)
        charge = V1.charges.retrieve(error.error.charge)
        same(f"{what}: by us, not by the bank", (charge.outcome.type, charge.outcome.network_status, charge.outcome.risk_level),
             ("blocked", "not_sent_to_network", "highest"))
