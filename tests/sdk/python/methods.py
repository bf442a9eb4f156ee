"""Payment methods: create, attach, pay with, list, detach; the cards that cannot be attached."""

from support import V1, card, check, refused, same
import stripe

method = V1.payment_methods.create(
    {**card("4242424242424242"), "billing_details": {"name": "Ada", "address": {"country": "GB"}}, "metadata": {"k": "v"}}
)
same("created", (method.object, method.type, method.customer), ("payment_method", "card", None))
same("what may be shown of it", (method.card.brand, method.card.last4, method.card.exp_month, method.card.exp_year, method.card.funding),
     ("visa", "4242", 12, 2034, "credit"))
check("nothing else is", "4242424242424242" not in method.last_response.body and "314" not in str(method.card.to_dict().values()))
same("billing details", (method.billing_details.name, method.billing_details.address.country), ("Ada", "GB"))
twin = V1.payment_methods.create(card("4242424242424242"))
check("the same number has the same fingerprint, another id", twin.card.fingerprint == method.card.fingerprint and twin.id != method.id)

customer = V1.customers.create({"name": "Ada"})
attached = V1.payment_methods.attach(method.id, {"customer": customer.id})
same("attached", attached.customer, customer.id)
token = V1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
check("an attached token is a method of its own", token.id != "pm_card_mastercard" and token.id.startswith("pm_"), token.id)
for listed in (V1.payment_methods.list({"customer": customer.id, "type": "card"}), V1.customers.payment_methods.list(customer.id)):
    same("listed", sorted(row.id for row in listed.data), sorted([method.id, token.id]))
same("retrieved of its customer", V1.customers.payment_methods.retrieve(customer.id, method.id).id, method.id)
for each in (method.id, token.id):
    paid = V1.payment_intents.create(
        {"amount": 900, "currency": "usd", "customer": customer.id, "payment_method": each, "confirm": True, "off_session": True}
    )
    same("pays without a CVC", (paid.status, paid.payment_method), ("succeeded", each))
stranger = V1.customers.create({"name": "Eve"})
refused("another customer cannot use it", stripe.InvalidRequestError,
        lambda: V1.payment_intents.create({"amount": 900, "currency": "usd", "customer": stranger.id, "payment_method": method.id, "confirm": True}),
        http_status=400)
refused("nor take it", stripe.InvalidRequestError, lambda: V1.payment_methods.attach(method.id, {"customer": stranger.id}), http_status=400)
same("updated", V1.payment_methods.update(method.id, {"billing_details": {"name": "Ada L."}}).billing_details.name, "Ada L.")
same("detached", V1.payment_methods.detach(method.id).customer, None)
same("the other is left", [row.id for row in V1.customers.payment_methods.list(customer.id).data], [token.id])

for number in ("4000000000000002", "4000000000009995", "4000000000000069", "4000000000000127"):
    bad = V1.payment_methods.create(card(number))
    refused(f"{number} cannot be attached", stripe.CardError, lambda: V1.payment_methods.attach(bad.id, {"customer": customer.id}), http_status=402)
later = V1.payment_methods.attach(V1.payment_methods.create(card("4000000000000341")).id, {"customer": customer.id})
refused("this one can, and fails when charged", stripe.CardError,
        lambda: V1.payment_intents.create({"amount": 900, "currency": "usd", "customer": customer.id, "payment_method": later.id, "confirm": True}),
        code="card_declined")
refused("only cards", stripe.InvalidRequestError, lambda: V1.payment_methods.create({"type": "sepa_debit"}), param="type")
refused("a number is needed", stripe.InvalidRequestError,
        lambda: V1.payment_methods.create({"type": "card", "card": {"exp_month": 1, "exp_year": 2034}}), param="card[number]")
