"""Cards kept for later: setup intents, setup_future_usage, charges without the payer, a customer's default card."""

from support import V1, card, check, eventually, pay, refused, same
from three_d_secure_page import challenge_page, visit
import stripe

ON_SETUP = "pm_card_authenticationRequiredOnSetup"
customer = V1.customers.create({"email": "ada@example.com"})


def events(kind, object_id):
    return [e for e in V1.events.list({"type": kind, "limit": 100}).data if e.data.object.id == object_id]


# a card is set up in one call, and charged while its owner is not there
setup = V1.setup_intents.create({"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True, "metadata": {"plan": "gold"}})
same("set up", (setup.object, setup.status, setup.usage, setup.customer, setup.metadata["plan"]),
     ("setup_intent", "succeeded", "off_session", customer.id, "gold"))
kept = V1.payment_methods.retrieve(setup.payment_method)
same("the card is the customer's", kept.customer, customer.id)
charged = pay(1500, kept.id, customer=customer.id, off_session=True)
same("charged without its owner", (charged.status, charged.payment_method), ("succeeded", kept.id))
check("events", len(events("setup_intent.created", setup.id)) == 1 and len(events("setup_intent.succeeded", setup.id)) == 1)
same("retrieved", V1.setup_intents.retrieve(setup.id, {"expand": ["payment_method"]}).payment_method.id, kept.id)
check("listed", setup.id in [s.id for s in V1.setup_intents.list({"customer": customer.id}).data])

# in two calls, with a typed card
opened = V1.setup_intents.create({"usage": "on_session"})
same("opened", (opened.status, opened.payment_method, opened.customer), ("requires_payment_method", None, None))
updated = V1.setup_intents.update(opened.id, {"customer": customer.id, "description": "later"})
same("updated", (updated.customer, updated.description), (customer.id, "later"))
refused("nothing to confirm", stripe.InvalidRequestError, lambda: V1.setup_intents.confirm(opened.id),
        code="setup_intent_unexpected_state", param="payment_method")
done = V1.setup_intents.confirm(opened.id, {"payment_method_data": card("5555555555554444")})
same("a typed card", (done.status, V1.payment_methods.retrieve(done.payment_method).customer), ("succeeded", customer.id))
refused("confirmed twice", stripe.InvalidRequestError, lambda: V1.setup_intents.confirm(opened.id, {"payment_method": "pm_card_visa"}),
        code="setup_intent_unexpected_state")

# the issuer asks once, at set-up, and not again
refused("not set up: nobody to ask", stripe.CardError, lambda: pay(700, ON_SETUP, off_session=True), code="authentication_required")
asked = V1.setup_intents.create({"customer": customer.id, "payment_method": ON_SETUP, "confirm": True, "return_url": "https://shop.example/cards"})
same("the payer is asked", (asked.status, asked.next_action.type), ("requires_action", "redirect_to_url"))
_, back, _ = visit(challenge_page(asked) + "/complete", "POST")
_, shop, _ = visit(back)
check("and comes back to the shop", shop.startswith(f"https://shop.example/cards?setup_intent={asked.id}&") and shop.endswith("redirect_status=succeeded"), shop)
asked = V1.setup_intents.retrieve(asked.id)
same("set up", asked.status, "succeeded")
same("never asked again", pay(700, asked.payment_method, customer=customer.id, off_session=True).status, "succeeded")
always = V1.setup_intents.create({"customer": customer.id, "payment_method": "pm_card_authenticationRequired", "confirm": True})
visit(challenge_page(always) + "/complete", "POST")
always = V1.setup_intents.retrieve(always.id)
error = refused("a card that always asks", stripe.CardError,
                lambda: pay(700, always.payment_method, customer=customer.id, off_session=True), code="authentication_required")
same("its payment is on the error", error.error.payment_intent.status, "requires_payment_method")
same("and can be paid with its owner there", V1.payment_intents.confirm(error.error.payment_intent.id,
     {"payment_method": always.payment_method}).status, "requires_action")

# refused, and canceled
error = refused("a card that is declined is not kept", stripe.CardError,
                lambda: V1.setup_intents.create({"payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds", "confirm": True}),
                code="card_declined", http_status=402)
failed = error.error.setup_intent
same("it says why", (failed.status, failed.last_setup_error.decline_code), ("requires_payment_method", "insufficient_funds"))
check("and tells", len(events("setup_intent.setup_failed", failed.id)) == 1)
same("with another card", V1.setup_intents.confirm(failed.id, {"payment_method": "pm_card_visa"}).status, "succeeded")
waiting = V1.setup_intents.create({"payment_method": ON_SETUP, "confirm": True})
canceled = V1.setup_intents.cancel(waiting.id, {"cancellation_reason": "abandoned"})
same("canceled", (canceled.status, canceled.cancellation_reason), ("canceled", "abandoned"))
check("its challenge is closed", visit(challenge_page(waiting) + "/complete", "POST")[0] == 409)
waiting = V1.setup_intents.create({"payment_method": ON_SETUP, "confirm": True})
visit(challenge_page(waiting) + "/fail", "POST")
same("a failed challenge", V1.setup_intents.retrieve(waiting.id).status, "requires_payment_method")

# kept in passing, by a payment
bought = pay(2500, "pm_card_mastercard", customer=customer.id, setup_future_usage="off_session")
same("kept in passing", V1.payment_methods.retrieve(bought.payment_method).customer, customer.id)
once = pay(2500, "pm_card_amex", customer=customer.id)
same("not kept without a word", V1.payment_methods.retrieve(once.payment_method).customer, None)

# a default card
refused("a default must be the customer's own", stripe.InvalidRequestError,
        lambda: V1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": once.payment_method}}),
        param="invoice_settings[default_payment_method]")
hers = V1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": kept.id}})
same("a default card", hers.invoice_settings.default_payment_method, kept.id)
paid = V1.payment_intents.create({"amount": 300, "currency": "usd", "customer": customer.id, "confirm": True, "off_session": True})
same("pays where none is named", (paid.status, paid.payment_method), ("succeeded", kept.id))

# a customer who leaves takes no card along
V1.customers.delete(customer.id)
same("her cards are nobody's", V1.payment_methods.retrieve(kept.id).customer, None)
check("and it was told", len(events("payment_method.detached", kept.id)) == 1)
