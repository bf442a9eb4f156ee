"""Disputes: the test cards bring them; evidence wins or loses them; closing accepts them; refunds wait."""

from support import V1, check, eventually, pay, refused, same
import stripe


def disputed(amount, token="pm_card_createDispute"):
    paid = pay(amount, token, expand=["latest_charge"])
    same("a disputed card pays first", paid.status, "succeeded")
    found = eventually("then the dispute appears", lambda: V1.disputes.list({"payment_intent": paid.id}).data)
    return paid, found[0]


def settled(dispute_id, status):
    return eventually(f"{status}", lambda: (lambda d: d if d.status == status else None)(V1.disputes.retrieve(dispute_id)))


def movements(dispute):
    return [(row.type, row.amount, row.fee) for row in dispute.balance_transactions]


paid, dispute = disputed(4000)
same("what it is about", (dispute.object, dispute.amount, dispute.currency, dispute.reason), ("dispute", 4000, "usd", "fraudulent"))
same("where it hangs", (dispute.charge, dispute.payment_intent), (paid.latest_charge.id, paid.id))
check("it waits for an answer", dispute.status == "needs_response" and dispute.evidence_details.due_by > dispute.created, dispute.status)
taken = eventually("the money is taken, with a fee", lambda: (lambda d: d if movements(d) else None)(V1.disputes.retrieve(dispute.id)))
same("as one adjustment", [(kind, amount) for kind, amount, _ in movements(taken)], [("adjustment", -4000)])
check("the fee", movements(taken)[0][2] > 0, movements(taken))
same("the charge says so", V1.charges.retrieve(paid.latest_charge.id).disputed, True)
refused("no refund meanwhile", stripe.InvalidRequestError, lambda: V1.refunds.create({"payment_intent": paid.id}),
        http_status=400, code="charge_disputed")
same("every evidence field is there", dispute.evidence.customer_name, None)
staged = V1.disputes.update(dispute.id, {"evidence": {"customer_name": "Ada", "product_description": "two books"}, "submit": False})
same("staged evidence", (staged.evidence.customer_name, staged.evidence_details.has_evidence, staged.evidence_details.submission_count), ("Ada", True, 0))
sent = V1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True})
check("submitted", sent.evidence_details.submission_count == 1 and sent.status in ("under_review", "won"), sent.status)
won = settled(dispute.id, "won")
back = eventually("the money comes back", lambda: (lambda d: d if len(movements(d)) == 2 else None)(V1.disputes.retrieve(dispute.id)))
same("the whole of it", sorted(amount for _, amount, _ in movements(back)), [-4000, 4000])
kinds = {event.type for event in V1.events.list({"limit": 100}).auto_paging_iter()
         if event.type.startswith("charge.dispute.") and event.data.object.id == dispute.id}
same("its events", kinds, {f"charge.dispute.{kind}" for kind in ("created", "updated", "funds_withdrawn", "funds_reinstated", "closed")})

_, losing = disputed(4100)
V1.disputes.update(losing.id, {"evidence": {"uncategorized_text": "losing_evidence"}, "submit": True})
lost = settled(losing.id, "lost")
same("a lost dispute keeps the money", [amount for _, amount, _ in movements(lost)], [-4100])
refused("no more evidence", stripe.InvalidRequestError,
        lambda: V1.disputes.update(losing.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True}), http_status=400)

accepted_payment, accepting = disputed(4200, "pm_card_createDisputeProductNotReceived")
same("another reason", accepting.reason, "product_not_received")
same("closing accepts it", V1.disputes.close(accepting.id).status, "lost")
refused("once", stripe.InvalidRequestError, lambda: V1.disputes.close(accepting.id), http_status=400)
same("listed by charge", [row.id for row in V1.disputes.list({"charge": accepted_payment.latest_charge.id}).data], [accepting.id])

asked, inquiry = disputed(4300, "pm_card_createDisputeInquiry")
same("an inquiry", (inquiry.status, movements(inquiry)), ("warning_needs_response", []))
same("can be refunded", V1.refunds.create({"payment_intent": asked.id, "amount": 100}).status, "succeeded")
refused("no such dispute", stripe.InvalidRequestError, lambda: V1.disputes.retrieve("du_none"), http_status=404)
