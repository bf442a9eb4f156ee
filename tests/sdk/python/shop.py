"""A shop's day: 100 orders of every kind through the official SDK. It keeps its own accounts, by its own arithmetic, and ends with them
as one line of JSON, to be compared with the service's books and the acquirer's own record (tests/it/shop.rs).

    MERCHANT=acct_.. python shop.py DIR/dev.json

The merchant pays 2.9 % and 30 cents; money is available at once.
"""

import json
import os
from decimal import ROUND_HALF_EVEN, Decimal

import stripe
from support import client, check, eventually, same
from three_d_secure_page import challenge_page, visit

SHOP = client(stripe_account=os.environ["MERCHANT"]).v1
DISPUTE_FEE = 1500
WISHES = {"card": {"request_multicapture": "if_available", "request_overcapture": "if_available",
                   "request_incremental_authorization": "if_available"}}
ORDERS = []


def fee(captured):
    """What the merchant pays of a payment: 2.9 % half-even, and 30 cents; never more than there is."""
    percent = (Decimal(captured) * Decimal("0.029")).quantize(Decimal(1), ROUND_HALF_EVEN)
    return min(captured, int(percent) + 30)


def note(payment, captured, refunded=0, disputed=0, dispute_fee=0, application_fee=0, given_back=0):
    """The shop's own account of an order, in cents."""
    charge = payment.latest_charge if isinstance(payment.latest_charge, str) or payment.latest_charge is None else payment.latest_charge.id
    ORDERS.append({
        "payment": payment.id, "charge": charge, "captured": captured, "refunded": refunded, "disputed": disputed,
        "fee": fee(captured) if captured else 0, "dispute_fee": dispute_fee,
        "application_fee": application_fee, "given_back": given_back,
    })


def buy(amount, method="pm_card_visa", **more):
    return SHOP.payment_intents.create({"amount": amount, "currency": "usd", "payment_method": method, "confirm": True,
                                        "metadata": {"order": str(len(ORDERS))}, **more})


def refund(payment, amount=None, **more):
    asked = {"payment_intent": payment.id, **more}
    return SHOP.refunds.create(asked if amount is None else {**asked, "amount": amount})


def hold(amount, **more):
    return buy(amount, capture_method="manual", payment_method_options=WISHES, **more)


def take(payment, **more):
    return SHOP.payment_intents.capture(payment.id, more)


def sale(n):
    note(buy(1000 + 137 * n), 1000 + 137 * n)


def returned_in_part(n):
    paid = buy(2000 + n)
    refund(paid, 700)
    refund(paid, 13 + n)
    note(paid, 2000 + n, refunded=713 + n)


def returned(n):
    paid = buy(3000 + n)
    refund(paid)
    note(paid, 3000 + n, refunded=3000 + n)


def shipped_in_full(n):
    note(take(hold(4000 + n)), 4000 + n)


def shipped_less(n):
    note(take(hold(5000 + n), amount_to_capture=4100), 4100)


def shipped_in_parts(n):
    held = hold(6000 + n)
    take(held, amount_to_capture=1999, final_capture=False)
    refund(held, 500)
    take(held, amount_to_capture=2001, final_capture=False)
    note(take(held, amount_to_capture=1000) if n % 20 == 5 else SHOP.payment_intents.cancel(held.id),
         5000 if n % 20 == 5 else 4000, refunded=500)


def challenged(n):
    paid = buy(2500 + n, "pm_card_authenticationRequired", return_url="https://shop.example/done")
    same("3-D Secure", paid.status, "requires_action")
    visit(challenge_page(paid) + "/complete", "POST")
    paid = SHOP.payment_intents.retrieve(paid.id)
    same("the payer was there", paid.status, "succeeded")
    note(paid, 2500 + n)


def kept_card(n):
    if "customer" not in KEPT:
        KEPT["customer"] = SHOP.customers.create({"name": "Ada"}).id
        first = buy(1800, customer=KEPT["customer"], setup_future_usage="off_session")
        KEPT["method"] = first.payment_method
        note(first, 1800)
        return
    note(buy(1800 + n, KEPT["method"], customer=KEPT["customer"], off_session=True), 1800 + n)


KEPT = {}


def declined_then_paid(n):
    try:
        buy(2200 + n, "pm_card_visa_chargeDeclinedInsufficientFunds")
        check("a card without funds is declined", False)
    except stripe.CardError as error:
        paid = SHOP.payment_intents.confirm(error.error.payment_intent.id, {"payment_method": "pm_card_mastercard"})
    note(paid, 2200 + n)


def dispute(paid, evidence):
    found = eventually("a dispute comes", lambda: SHOP.disputes.list({"payment_intent": paid.id}).data)[0]
    eventually("its money is taken", lambda: SHOP.disputes.retrieve(found.id).balance_transactions)
    SHOP.disputes.update(found.id, {"evidence": {"uncategorized_text": evidence}, "submit": True})
    status = "won" if evidence == "winning_evidence" else "lost"
    eventually(status, lambda: SHOP.disputes.retrieve(found.id).status == status)
    if status == "won":
        eventually("the money is back", lambda: len(SHOP.disputes.retrieve(found.id).balance_transactions) == 2)


def one_of_a_kind(n):
    """What happens seldom: each once."""
    if n == 9:
        paid = buy(7000, "pm_card_createDispute")
        dispute(paid, "losing_evidence")
        note(paid, 7000, disputed=7000, dispute_fee=DISPUTE_FEE)
    elif n == 19:
        paid = buy(7100, "pm_card_createDispute")
        dispute(paid, "winning_evidence")
        note(paid, 7100, dispute_fee=DISPUTE_FEE)
    elif n == 29:
        note(SHOP.payment_intents.cancel(hold(4500).id), 0)
    elif n == 39:
        paid = buy(1700, "pm_card_refundFail")
        back = refund(paid)
        eventually("a refund fails later", lambda: SHOP.refunds.retrieve(back.id).status == "failed")
        note(paid, 1700)
    elif n == 49:
        held = hold(5000)
        raised = SHOP.payment_intents.increment_authorization(held.id, {"amount": 6000})
        note(take(raised, amount_to_capture=6600), 6600)
    elif n == 59:
        paid = buy(8000, application_fee_amount=650)
        note(paid, 8000, application_fee=650)
    elif n == 69:
        paid = buy(1600, "pm_card_pendingRefund")
        back = refund(paid, 400)
        eventually("a refund succeeds later", lambda: SHOP.refunds.retrieve(back.id).status == "succeeded")
        note(paid, 1600, refunded=400)
    elif n == 79:
        paid = buy(9000, application_fee_amount=450)
        refund(paid, 3000, refund_application_fee=True)
        note(paid, 9000, refunded=3000, application_fee=450, given_back=150)
    else:
        open_payment = SHOP.payment_intents.create({"amount": 100, "currency": "usd"})
        note(SHOP.payment_intents.cancel(open_payment.id), 0)


KINDS = [sale, returned_in_part, returned, shipped_in_full, shipped_less, shipped_in_parts, challenged, kept_card, declined_then_paid,
         one_of_a_kind]
for number in range(100):
    KINDS[number % 10](number)
same("orders", len(ORDERS), 100)

# what is the merchant's, by its own arithmetic
earned = sum(o["captured"] - o["refunded"] - o["disputed"] - o["fee"] - o["dispute_fee"] - o["application_fee"] + o["given_back"] for o in ORDERS)


def standing():
    balance = SHOP.balance.retrieve()
    of = lambda side: sum(part.amount for part in getattr(balance, side) if part.currency == "usd")
    return of("available"), of("pending")


same("the balance, to the cent", sum(standing()), earned)
eventually("all of it is available", lambda: standing() == (earned, 0))
payout = SHOP.payouts.create({"amount": earned - 10000, "currency": "usd"})
same("and it is paid out", payout.status, "pending")
same("but for what stays", standing(), (10000, 0))
lines = list(SHOP.balance_transactions.list({"limit": 100}).auto_paging_iter())
same("the lines add up to it", sum(line.net for line in lines), 10000)
print("BOOKS " + json.dumps({"orders": ORDERS, "paid_out": earned - 10000, "left": 10000}))
