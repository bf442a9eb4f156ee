"""Refunds: full, in part, several, and those that must not be."""

from support import V1, check, eventually, pay, refused, same
import stripe

paid = pay(1000, expand=["latest_charge"])
full = V1.refunds.create({"payment_intent": paid.id, "reason": "requested_by_customer", "metadata": {"case": "7"}})
same("a full refund", (full.object, full.amount, full.status, full.currency), ("refund", 1000, "succeeded", "usd"))
same("it names what it refunds", (full.payment_intent, full.charge), (paid.id, paid.latest_charge.id))
charge = V1.charges.retrieve(paid.latest_charge.id)
same("the charge is refunded", (charge.refunded, charge.amount_refunded), (True, 1000))
refused("no second full refund", stripe.InvalidRequestError, lambda: V1.refunds.create({"payment_intent": paid.id}),
        http_status=400, code="charge_already_refunded")

several = pay(1000, expand=["latest_charge"])
parts = [V1.refunds.create({"charge": several.latest_charge.id, "amount": amount}) for amount in (300, 250, 449)]
same("three partial refunds", [part.amount for part in parts], [300, 250, 449])
charge = V1.charges.retrieve(several.latest_charge.id)
same("refunded in part", (charge.refunded, charge.amount_refunded), (False, 999))
refused("more than what is left", stripe.InvalidRequestError,
        lambda: V1.refunds.create({"payment_intent": several.id, "amount": 2}), http_status=400, param="amount")
same("the rest", V1.refunds.create({"payment_intent": several.id}).amount, 1)
same("now in full", V1.charges.retrieve(charge.id).refunded, True)
listed = [refund.id for refund in V1.refunds.list({"payment_intent": several.id}).data]
same("listed, newest first", listed[1:], [part.id for part in parts][::-1])
same("by charge too", len(V1.refunds.list({"charge": charge.id}).data), 4)
same("retrieved", V1.refunds.retrieve(parts[0].id).amount, 300)
same("updated", V1.refunds.update(parts[0].id, {"metadata": {"seen": "yes"}}).metadata["seen"], "yes")
same("expanded", V1.refunds.retrieve(parts[0].id, {"expand": ["charge", "payment_intent"]}).charge.id, charge.id)

for amount in (0, -1, 100_000_000):
    refused(f"refund of {amount}", stripe.InvalidRequestError,
            lambda: V1.refunds.create({"payment_intent": pay(1000).id, "amount": amount}), http_status=400, param="amount")
held = pay(1000, capture_method="manual")
refused("nothing captured, nothing to refund", stripe.InvalidRequestError,
        lambda: V1.refunds.create({"payment_intent": held.id}), http_status=400)
V1.payment_intents.capture(held.id, {"amount_to_capture": 400})
refused("not more than was captured", stripe.InvalidRequestError,
        lambda: V1.refunds.create({"payment_intent": held.id, "amount": 401}), param="amount")
same("what was captured", V1.refunds.create({"payment_intent": held.id}).amount, 400)
refused("no such payment", stripe.InvalidRequestError, lambda: V1.refunds.create({"payment_intent": "pi_none"}), code="resource_missing")
refused("a refund has its payment's currency", stripe.InvalidRequestError,
        lambda: V1.refunds.create({"payment_intent": pay(1000).id, "amount": 100, "currency": "eur"}), param="currency")

slow = V1.refunds.create({"payment_intent": pay(800, "pm_card_pendingRefund").id})
check("a refund that takes time", slow.status in ("pending", "succeeded"), slow.status)
eventually("and succeeds", lambda: V1.refunds.retrieve(slow.id).status == "succeeded")
bounced = pay(800, "pm_card_refundFail", expand=["latest_charge"])
bounced_refund = V1.refunds.create({"payment_intent": bounced.id})
eventually("a refund that comes back", lambda: V1.refunds.retrieve(bounced_refund.id).status == "failed")
same("its money is the charge's again", V1.charges.retrieve(bounced.latest_charge.id).amount_refunded, 0)

# taken back before it succeeds: the money is the merchant's again
def canceled():
    """The first that is in time; the acquirer takes two seconds to pay one out."""
    paid = pay(700, "pm_card_pendingRefund", expand=["latest_charge"])
    refund = V1.refunds.create({"payment_intent": paid.id})
    try:
        return paid, V1.refunds.cancel(refund.id)
    except stripe.InvalidRequestError as late:
        same("too late says so", late.code, "refund_not_cancelable")


paid, back = eventually("a pending refund is canceled", canceled)
same("canceled", (back.status, back.failure_reason), ("canceled", None))
same("its line is undone", V1.balance_transactions.retrieve(back.failure_balance_transaction).net, 700)
same("the charge can be refunded again", V1.charges.retrieve(paid.latest_charge.id).amount_refunded, 0)
same("it stays canceled", V1.refunds.retrieve(back.id).status, "canceled")
refused("once", stripe.InvalidRequestError, lambda: V1.refunds.cancel(back.id), code="refund_not_cancelable", http_status=400)
refused("not one that has succeeded", stripe.InvalidRequestError, lambda: V1.refunds.cancel(full.id), code="refund_not_cancelable")
since = {"limit": 100, "created": {"gte": back.created}}
told = [e.type for e in V1.events.list(since).auto_paging_iter() if e.data.object.id == back.id]
check("and it was told", "refund.updated" in told and "refund.failed" not in told, told)
