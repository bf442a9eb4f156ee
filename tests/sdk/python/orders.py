"""What describes an order: line items kept as sold, a platform's fee, descriptors; refunds with an expectation; currencies."""

from support import V1, check, eventually, pay, refused, same
import stripe

BAD = stripe.InvalidRequestError


def create(**parameters):
    return V1.payment_intents.create({"amount": 2300, "currency": "usd", **parameters})


# line items: a snapshot that adds up
ITEMS = [
    {"name": "Tea", "product_code": "T-1", "quantity": 2, "list_price": 1200, "deal_price": 1000},
    {"name": "Cup", "deal_price": 300},
    {"name": "Gift", "quantity": 3, "list_price": 500, "deal_price": 0},
]
sold = create(line_items=ITEMS, payment_method="pm_card_visa")
same("kept with list and deal price", [(i.name, i.product_code, i.quantity, i.list_price, i.deal_price) for i in sold.line_items],
     [("Tea", "T-1", 2, 1200, 1000), ("Cup", None, 1, 300, 300), ("Gift", None, 3, 500, 0)])
refused("what does not add up", BAD, lambda: create(line_items=ITEMS[:1]), code="line_items_mismatch", param="line_items", http_status=400)
refused("what was sold is sold", BAD, lambda: V1.payment_intents.update(sold.id, {"amount": 2301}), code="line_items_mismatch", param="amount")
refused("a negative price", BAD, lambda: create(line_items=[{"name": "Tea", "deal_price": -1}]), param="line_items[0][deal_price]")
refused("no name", BAD, lambda: create(line_items=[{"deal_price": 2300}]), code="parameter_missing", param="line_items[0][name]")
refused("no price", BAD, lambda: create(line_items=[{"name": "Tea"}]), code="parameter_missing", param="line_items[0][deal_price]")
refused("an unknown word", BAD, lambda: create(line_items=[{"name": "Tea", "deal_price": 2300, "colour": "red"}]), code="parameter_unknown")
refused("a sum beyond all numbers", BAD, lambda: create(line_items=[{"name": "Tea", "quantity": 1000000, "deal_price": 99999999}] * 200),
        code="line_items_mismatch")
same("it pays", V1.payment_intents.confirm(sold.id).status, "succeeded")
same("and shows what was sold", len(V1.payment_intents.retrieve(sold.id).line_items), 3)

# a platform's fee
fee = create(application_fee_amount=230, payment_method="pm_card_visa", confirm=True, expand=["latest_charge"])
same("a platform's fee", (fee.application_fee_amount, fee.latest_charge.application_fee_amount), (230, 230))
refused("more than there is", BAD, lambda: create(application_fee_amount=2301), code="amount_too_large", param="application_fee_amount")
later = create()
same("set later", V1.payment_intents.update(later.id, {"application_fee_amount": 100}).application_fee_amount, 100)
refused("and not beyond a smaller amount", BAD, lambda: V1.payment_intents.update(later.id, {"amount": 99}), param="application_fee_amount")

# what the payer reads, and what a confirmation and a capture bring along
read = pay(900, statement_descriptor="TEA HOUSE", statement_descriptor_suffix="ORDER 7", expand=["latest_charge"])
same("the payer reads", read.latest_charge.calculated_statement_descriptor, "TEA HOUSE* ORDER 7")
refused("a suffix of numbers", BAD, lambda: pay(900, statement_descriptor_suffix="12345"), param="statement_descriptor_suffix")
held = create(capture_method="manual")
address = {"name": "Ada", "address": {"city": "London", "country": "GB"}}
held = V1.payment_intents.confirm(held.id, {"payment_method": "pm_card_visa", "shipping": address, "receipt_email": "ada@example.com"})
same("a confirmation brings along", (held.status, held.shipping.name, held.receipt_email), ("requires_capture", "Ada", "ada@example.com"))
refused("more than was authorized", BAD, lambda: V1.payment_intents.capture(held.id, {"amount_to_capture": 2301}), code="amount_too_large", param="amount_to_capture")
taken = V1.payment_intents.capture(held.id, {"amount_to_capture": 2000, "metadata": {"box": "3"}, "final_capture": True})
same("under-captured: the rest is released", (taken.amount_received, taken.amount_capturable, taken.metadata["box"]), (2000, 0, "3"))
refused("a captured payment is refunded, not canceled", BAD, lambda: V1.payment_intents.cancel(held.id), code="payment_intent_unexpected_state")

# a refund that knows what is left
V1.refunds.create({"payment_intent": taken.id, "amount": 500, "expected_available": 2000})
refused("somebody refunded meanwhile", BAD, lambda: V1.refunds.create({"payment_intent": taken.id, "amount": 500, "expected_available": 2000}),
        code="refund_amount_available_mismatch", param="expected_available", http_status=400)
same("looked again", V1.refunds.create({"payment_intent": taken.id, "amount": 1500, "expected_available": 1500}).status, "succeeded")

# a refund that fails later: the money is the merchant's again
sale = pay(1700, "pm_card_refundFail")
back = V1.refunds.create({"payment_intent": sale.id, "reason": "requested_by_customer"})
failed = eventually("the refund fails later", lambda: next((r for r in [V1.refunds.retrieve(back.id)] if r.status == "failed"), None))
check("it says why", failed.failure_reason and failed.failure_balance_transaction, failed)
same("the money is back", V1.balance_transactions.retrieve(failed.failure_balance_transaction).net, 1700)
check("and it was told", any(e.data.object.id == back.id for e in V1.events.list({"type": "refund.failed", "limit": 50}).data))
same("the charge can be refunded again", V1.charges.retrieve(sale.latest_charge).amount_refunded, 0)

# currencies: no, two and three decimals; kronur and shillings that the acquirer counts otherwise
for currency, amount, part in [("jpy", 500, 1), ("usd", 50, 1), ("kwd", 5120, 10), ("isk", 700, 7), ("ugx", 9000, 1000), ("huf", 12345, 45), ("clp", 990, 90)]:
    paid = V1.payment_intents.create({"amount": amount, "currency": currency, "payment_method": "pm_card_visa", "confirm": True,
                                      "capture_method": "manual"})
    captured = V1.payment_intents.capture(paid.id, {"amount_to_capture": amount - part})
    back = V1.refunds.create({"payment_intent": paid.id, "amount": part})
    same(f"{currency} end to end", (captured.amount_received, captured.currency, back.amount, back.status), (amount - part, currency, part, "succeeded"))
refused("fils that no card network settles", BAD, lambda: V1.payment_intents.create({"amount": 5125, "currency": "kwd"}), param="amount")
refused("and none is captured", BAD, lambda: V1.payment_intents.capture(V1.payment_intents.create(
    {"amount": 5120, "currency": "kwd", "payment_method": "pm_card_visa", "confirm": True, "capture_method": "manual"}).id, {"amount_to_capture": 5}),
    param="amount_to_capture")
refused("no currency at all", BAD, lambda: V1.payment_intents.create({"amount": 100, "currency": "xyz"}), code="invalid_currency")
