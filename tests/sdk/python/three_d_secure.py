"""3-D Secure: the challenge, its page, the way back to the shop, and every test card that asks for it."""

from support import DEV, V1, card, check, eventually, pay, refused, same
from three_d_secure_page import challenge_page, query, visit
import stripe

SHOP = "https://shop.example/done?order=7"


def challenged(token="pm_card_authenticationRequired", **more):
    payment = pay(3000, token, return_url=SHOP, **more)
    same(f"{token} asks for authentication", (payment.status, payment.next_action.type), ("requires_action", "redirect_to_url"))
    return payment


# completed: the acquirer's page, back through us, to the shop
payment = challenged()
same("the shop's address is kept", payment.next_action.redirect_to_url.return_url, SHOP)
same("nothing was taken yet", (payment.amount_received, V1.charges.retrieve(payment.latest_charge).status), (0, "pending"))
status, _, page = visit(challenge_page(payment))
check("the issuer's page", status == 200 and "3000" in page, page)
status, back, _ = visit(challenge_page(payment) + "/complete", "POST")
check("the acquirer sends the payer to us", status == 303 and back.startswith(DEV["api_url"] + "/return/"), back)
status, shop, _ = visit(back)
check("we send the payer to the shop", status == 303 and shop.startswith("https://shop.example/done?order=7&"), shop)
same("with our names", (query(shop)["payment_intent"], query(shop)["redirect_status"]), (payment.id, "succeeded"))
same("and the client secret", query(shop)["payment_intent_client_secret"], payment.client_secret)
done = V1.payment_intents.retrieve(payment.id, {"expand": ["latest_charge"]})
same("the payment succeeded", (done.status, done.amount_received, done.next_action), ("succeeded", 3000, None))
said = done.latest_charge.payment_method_details.card.three_d_secure
same("the issuer's word is kept", (said.result, said.electronic_commerce_indicator, said.version, said.authentication_flow),
     ("authenticated", "05", "2.2.0", "challenge"))
same("fraud is the issuer's loss now", said.liability_shifted, True)
same("coming back twice changes nothing", visit(back)[1], shop)
address = back.partition("?")[0]
check("a wrong address is nobody's", visit(address[:-1] + ("0" if address[-1] != "0" else "1"))[0] == 404)
eventually("both events were told", lambda: {"payment_intent.requires_action", "payment_intent.succeeded"}
           <= {e.type for e in V1.events.list({"limit": 100}).data if e.data.object.id == payment.id})

# the caller looks before anyone tells
payment = challenged(capture_method="manual")
visit(challenge_page(payment) + "/complete", "POST")
same("who looks gets the truth", V1.payment_intents.retrieve(payment.id).status, "requires_capture")
same("and captures", V1.payment_intents.capture(payment.id).status, "succeeded")

# nobody looks: the acquirer's callback settles it
payment = challenged()
visit(challenge_page(payment) + "/complete", "POST")
eventually("the callback is enough", lambda: any(e.data.object.id == payment.id
           for e in V1.events.list({"type": "payment_intent.succeeded", "limit": 20}).data))

# failed, and paid otherwise
payment = challenged()
_, back, _ = visit(challenge_page(payment) + "/fail", "POST")
same("a failed challenge says so", query(visit(back)[1])["redirect_status"], "failed")
failed = V1.payment_intents.retrieve(payment.id)
same("it can be paid otherwise", (failed.status, failed.last_payment_error.code, failed.payment_method),
     ("requires_payment_method", "payment_intent_authentication_failure", None))
same("with another card", V1.payment_intents.confirm(payment.id, {"payment_method": "pm_card_visa"}).status, "succeeded")

# given up for another card while the challenge is open
payment = challenged()
same("confirmed again it still waits", V1.payment_intents.confirm(payment.id).status, "requires_action")
page = challenge_page(payment)
same("another card takes its place", V1.payment_intents.confirm(payment.id, {"payment_method": "pm_card_mastercard"}).status, "succeeded")
check("the old challenge is closed", visit(page + "/complete", "POST")[0] == 409)
same("two attempts, one paid", sorted(c.status for c in V1.charges.list({"payment_intent": payment.id}).data), ["failed", "succeeded"])

# canceled
payment = challenged()
canceled = V1.payment_intents.cancel(payment.id, {"cancellation_reason": "abandoned"})
same("a challenge can be canceled", (canceled.status, canceled.cancellation_reason, canceled.next_action), ("canceled", "abandoned", None))
check("at the acquirer too", visit(challenge_page(payment) + "/complete", "POST")[0] == 409)

# the cards of the table
for token, number, code, decline_code in [
    ("pm_card_authenticationRequiredOnSetup", "4000002500003155", None, None),
    ("pm_card_authenticationRequired", "4000002760003184", None, None),
    ("pm_card_threeDSecure2Required", "4000000000003220", None, None),
    ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "4000008260003178", "card_declined", "insufficient_funds"),
    ("pm_card_threeDSecureRequiredChargeDeclined", "4000008400001629", "card_declined", "generic_decline"),
]:
    typed = V1.payment_intents.create({"amount": 900, "currency": "usd", "confirm": True, "payment_method_data": card(number)})
    same(f"{number} typed", (typed.status, typed.next_action.redirect_to_url.return_url), ("requires_action", None))
    payment = challenged(token)
    visit(challenge_page(payment) + "/complete", "POST")
    ended = V1.payment_intents.retrieve(payment.id)
    expected = ("succeeded", None, None) if code is None else ("requires_payment_method", code, decline_code)
    error = ended.last_payment_error
    same(f"{token} then", (ended.status, error and error.code, error and error.decline_code), expected)

# asked for, and impossible
wanted = {"payment_method_options": {"card": {"request_three_d_secure": "any"}}}
payment = pay(800, "pm_card_visa", **wanted)
same("a card that would not need it, asked all the same", (payment.status, payment.payment_method_options.card.request_three_d_secure),
     ("requires_action", "any"))
status, _, page = visit(visit(challenge_page(payment) + "/complete", "POST")[1])
check("without a shop's address there is a page of ours", status == 200 and "approved" in page, page)
error = refused("nobody to challenge", stripe.CardError, lambda: pay(800, "pm_card_authenticationRequired", off_session=True),
                code="authentication_required", http_status=402)
same("the payment is on the error", error.error.payment_intent.status, "requires_payment_method")
refused("no way to show a challenge", stripe.CardError, lambda: pay(800, "pm_card_authenticationRequired", error_on_requires_action=True),
        code="authentication_required", http_status=402)
refused("an address no browser can be sent to", stripe.InvalidRequestError, lambda: pay(800, return_url="javascript:alert(1)"),
        code="url_invalid", param="return_url")
