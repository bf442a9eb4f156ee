"""Application fees: booked at the capture, shown on the line and the charge, given back with a refund or by themselves."""

import stripe
from support import DEV, V1, check, client, pay, refused, same

BAD = stripe.InvalidRequestError
PLATFORM = client().v1
MERCHANT = DEV["merchants"][0]["id"]


def line(charge):
    return V1.balance_transactions.retrieve(charge.balance_transaction)


def parts(transaction):
    return {part.type: part.amount for part in transaction.fee_details}


sold = pay(10000, application_fee_amount=700, expand=["latest_charge.balance_transaction", "latest_charge.application_fee"])
charge, fee = sold.latest_charge, sold.latest_charge.application_fee
same("the fee is an object", (fee.object, fee.amount, fee.amount_refunded, fee.charge, fee.account, fee.refunded),
     ("application_fee", 700, 0, charge.id, MERCHANT, False))
row = charge.balance_transaction
same("the line shows both fees", (parts(row)["application_fee"], sum(parts(row).values()), row.net), (700, row.fee, row.amount - row.fee))
check("the processing fee is as ever", parts(row)["stripe_fee"] == row.fee - 700 and row.fee > 700, row.fee_details)
same("listed by charge", [f.id for f in PLATFORM.application_fees.list({"charge": charge.id}).data], [fee.id])
check("and among all", fee.id in [f.id for f in PLATFORM.application_fees.list({"limit": 100}).data])
other = client(stripe_account=DEV["merchants"][1]["id"]).v1
check("not among another merchant's", fee.id not in [f.id for f in other.application_fees.list({"limit": 100}).data])
refused("nor by name", BAD, lambda: other.application_fees.retrieve(fee.id), code="resource_missing", http_status=404)
same("none without", (pay(900, expand=["latest_charge"]).latest_charge.application_fee), None)

# given back
half = V1.refunds.create({"payment_intent": sold.id, "amount": 5000, "refund_application_fee": True})
fee = V1.application_fees.retrieve(fee.id)
same("with half of the charge half of the fee", (fee.amount_refunded, [r.amount for r in fee.refunds.data]), (350, [350]))
given = fee.refunds.data[0]
back = V1.balance_transactions.retrieve(given.balance_transaction)
same("the merchant's line about it", (back.type, back.net, back.source, back.status), ("application_fee_refund", 350, given.id, "available"))
kept = V1.refunds.create({"payment_intent": sold.id, "amount": 2500})
same("a refund alone leaves it", V1.application_fees.retrieve(fee.id).amount_refunded, 350)
own = V1.application_fees.refunds.create(fee.id, {"amount": 100, "metadata": {"why": "goodwill"}})
same("by itself", (own.object, own.amount, own.fee, own.metadata["why"]), ("fee_refund", 100, fee.id, "goodwill"))
refused("not more than is left", BAD, lambda: V1.application_fees.refunds.create(fee.id, {"amount": 251}), code="amount_too_large", param="amount")
V1.refunds.create({"payment_intent": sold.id, "refund_application_fee": True})
same("with all of the charge all of the fee", (V1.application_fees.retrieve(fee.id).amount_refunded, V1.application_fees.retrieve(fee.id).refunded),
     (700, True))
refused("and that was all", BAD, lambda: V1.application_fees.refunds.create(fee.id), code="application_fee_already_refunded")
same("listed", len(V1.application_fees.refunds.list(fee.id).data), 3)
shop = client(DEV["restricted_keys"]["refunds"]).v1
again = pay(1000, application_fee_amount=100)
no = refused("a merchant does not give itself the platform's fee", stripe.PermissionError,
             lambda: shop.refunds.create({"payment_intent": again.id, "refund_application_fee": True}), http_status=403)
same("it says why", no.error.code, "platform_key_required")
same("nothing went back", V1.charges.retrieve(again.latest_charge).amount_refunded, 0)

# captured later, in parts, less than was asked
wish = {"payment_method_options": {"card": {"request_multicapture": "if_available"}}, "capture_method": "manual"}
held = pay(10000, application_fee_amount=400, **wish)
same("nothing is taken of a hold", PLATFORM.application_fees.list({"charge": held.latest_charge}).data, [])
one = V1.payment_intents.capture(held.id, {"amount_to_capture": 300, "final_capture": False, "expand": ["latest_charge"]}).latest_charge
room = 300 - parts(line(one))["stripe_fee"]
same("a part gives no more than it has", (parts(line(one))["application_fee"], line(one).net), (room, 0))
two = V1.payment_intents.capture(held.id, {"amount_to_capture": 5000, "expand": ["latest_charge"]}).latest_charge
same("the next gives the rest", parts(line(two))["application_fee"], 400 - room)
same("one fee of one charge", [f.amount for f in PLATFORM.application_fees.list({"charge": held.latest_charge}).data], [400])
small = pay(100, application_fee_amount=100, expand=["latest_charge.balance_transaction"])
same("never more than there is", small.latest_charge.balance_transaction.net, 0)
late = pay(5000, capture_method="manual")
taken = V1.payment_intents.capture(late.id, {"application_fee_amount": 250, "expand": ["latest_charge.application_fee"]})
same("said with the capture", taken.latest_charge.application_fee.amount, 250)

since = {"limit": 100, "created": {"gte": fee.created}}
kinds = [e.type for e in V1.events.list(since).auto_paging_iter() if e.data.object.id == fee.id]
same("what was told", [kinds.count(kind) for kind in ("application_fee.created", "application_fee.refunded")], [1, 3])
