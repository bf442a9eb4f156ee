"""Every decline card of the test table becomes a CardError with its codes, and leaves a payment that can be paid otherwise."""

from support import V1, card, check, pay, refused, same
import stripe

DECLINES = [
    ("4000000000000002", "pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
    ("4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("4000000000009987", "pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
    ("4000000000009979", "pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
    ("4000000000006975", "pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
    ("4000000000000069", "pm_card_chargeDeclinedExpiredCard", "expired_card", None),
    ("4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
    ("4000000000000119", "pm_card_chargeDeclinedProcessingError", "processing_error", None),
    ("4000000000000341", "pm_card_chargeCustomerFail", "card_declined", None),
]

for number, token, code, decline_code in DECLINES:
    expected = {"code": code, "http_status": 402}
    if decline_code:
        expected["decline_code"] = decline_code
    error = refused(token, stripe.CardError, lambda: pay(1000, token), **expected)
    declined = error.error.payment_intent
    same(f"{token}: the payment can be retried", declined.status, "requires_payment_method")
    same(f"{token}: it says why", declined.last_payment_error.code, code)
    check(f"{token}: the attempt is named", error.error.charge.startswith("ch_"), error.error.charge)
    refused(f"{number} typed", stripe.CardError,
            lambda: V1.payment_intents.create({"amount": 1000, "currency": "usd", "confirm": True, "payment_method_data": card(number)}),
            **expected)

charge = V1.charges.retrieve(error.error.charge)
same("a failed charge", (charge.status, charge.paid, charge.captured, charge.failure_code), ("failed", False, False, "card_declined"))
same("nothing was received", V1.payment_intents.retrieve(declined.id).amount_received, 0)
retried = V1.payment_intents.confirm(declined.id, {"payment_method": "pm_card_visa"})
same("the same payment succeeds with another card", (retried.id, retried.status, retried.last_payment_error), (declined.id, "succeeded", None))
same("two attempts", len(V1.charges.list({"payment_intent": declined.id}).data), 2)

refused("a number that fails Luhn", stripe.CardError,
        lambda: V1.payment_intents.create({"amount": 1000, "currency": "usd", "confirm": True, "payment_method_data": card("4242424242424241")}),
        code="incorrect_number", http_status=402)
refused("an expired month", stripe.CardError,
        lambda: V1.payment_intents.create({"amount": 1000, "currency": "usd", "payment_method_data": card("4242424242424242", exp_month=13)}),
        code="invalid_expiry_month")
refused("a year gone by", stripe.CardError,
        lambda: V1.payment_intents.create({"amount": 1000, "currency": "usd", "payment_method_data": card("4242424242424242", exp_year=2020)}),
        code="invalid_expiry_year")
refused("a CVC of two digits", stripe.CardError,
        lambda: V1.payment_intents.create({"amount": 1000, "currency": "usd", "payment_method_data": card("4242424242424242", cvc="12")}),
        code="invalid_cvc")
