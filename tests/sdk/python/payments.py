"""Payments: create, confirm, capture, cancel, update, expand, list, page, customers, charges, events."""

from support import V1, card, check, pay, refused, same
import stripe

# create and confirm in one call, a test token and a typed card
paid = pay(2000, metadata={"order": "42"}, description="two books", expand=["latest_charge", "payment_method"])
same("create+confirm succeeds", paid.status, "succeeded")
same("amount received", (paid.amount, paid.amount_received, paid.amount_capturable), (2000, 2000, 0))
same("metadata comes back", paid.metadata["order"], "42")
same("expanded charge", (paid.latest_charge.object, paid.latest_charge.paid, paid.latest_charge.captured), ("charge", True, True))
same("the charge knows its payment", paid.latest_charge.payment_intent, paid.id)
same("expanded payment method", (paid.payment_method.object, paid.payment_method.card.last4), ("payment_method", "4242"))
check("ids have prefixes", paid.id.startswith("pi_") and paid.latest_charge.id.startswith("ch_"), paid.id)
check("client secret", paid.client_secret.startswith(paid.id + "_secret_"))
same("receipt of the request", paid.last_response.headers["Request-Id"][:4], "req_")
typed = V1.payment_intents.create(
    {"amount": 1500, "currency": "eur", "payment_method_data": card("5555555555554444"), "confirm": True}
)
same("a typed card pays", (typed.status, typed.currency), ("succeeded", "eur"))

# create, then confirm
waiting = V1.payment_intents.create({"amount": 700, "currency": "usd"})
same("without a method", waiting.status, "requires_payment_method")
confirmed = V1.payment_intents.confirm(waiting.id, {"payment_method": "pm_card_mastercard"})
same("confirmed later", (confirmed.id, confirmed.status), (waiting.id, "succeeded"))
refused("confirmed twice", stripe.InvalidRequestError, lambda: V1.payment_intents.confirm(waiting.id), http_status=400,
        code="payment_intent_unexpected_state")

# update
open_ = V1.payment_intents.create({"amount": 700, "currency": "usd", "description": "a", "metadata": {"a": "1", "b": "2"}})
changed = V1.payment_intents.update(open_.id, {"amount": 800, "description": "b", "metadata": {"a": "", "c": "3"}})
same("amount updated", changed.amount, 800)
same("metadata merged", dict(changed.metadata.to_dict()), {"b": "2", "c": "3"})
same("retrieved the same", V1.payment_intents.retrieve(open_.id).description, "b")

# manual capture, in part
held = pay(5000, capture_method="manual")
same("manual capture waits", (held.status, held.amount_capturable, held.amount_received), ("requires_capture", 5000, 0))
refused("capture of too much", stripe.InvalidRequestError,
        lambda: V1.payment_intents.capture(held.id, {"amount_to_capture": 5001}), code="amount_too_large", param="amount_to_capture")
part = V1.payment_intents.capture(held.id, {"amount_to_capture": 3000})
same("captured in part", (part.status, part.amount_received, part.amount_capturable), ("succeeded", 3000, 0))
charge = V1.charges.retrieve(part.latest_charge)
same("the charge says so", (charge.amount, charge.amount_captured, charge.captured), (5000, 3000, True))
refused("captured twice", stripe.InvalidRequestError, lambda: V1.payment_intents.capture(held.id),
        code="payment_intent_unexpected_state")
whole = V1.payment_intents.capture(pay(900, capture_method="manual").id)
same("captured in whole", (whole.status, whole.amount_received), ("succeeded", 900))

# cancel: before confirmation, and an authorization
gone = V1.payment_intents.cancel(V1.payment_intents.create({"amount": 700, "currency": "usd"}).id, {"cancellation_reason": "abandoned"})
same("canceled", (gone.status, gone.cancellation_reason), ("canceled", "abandoned"))
check("when it was canceled", gone.canceled_at >= gone.created)
released = V1.payment_intents.cancel(pay(900, capture_method="manual").id)
same("an authorization is released", (released.status, released.amount_received), ("canceled", 0))
refused("a paid one cannot be canceled", stripe.InvalidRequestError, lambda: V1.payment_intents.cancel(paid.id),
        code="payment_intent_unexpected_state")
refused("a canceled one cannot be confirmed", stripe.InvalidRequestError,
        lambda: V1.payment_intents.confirm(gone.id, {"payment_method": "pm_card_visa"}), code="payment_intent_unexpected_state")

# customers
customer = V1.customers.create({"name": "Ada Byron", "email": "ada@example.com", "metadata": {"level": "gold"}})
same("customer", (customer.object, customer.name, customer.email), ("customer", "Ada Byron", "ada@example.com"))
same("customer updated", V1.customers.update(customer.id, {"name": "Ada Lovelace"}).name, "Ada Lovelace")
hers = pay(1100, customer=customer.id, expand=["customer"])
same("a customer's payment, expanded", hers.customer.id, customer.id)
listed = V1.payment_intents.list({"customer": customer.id})
same("payments by customer", [row.id for row in listed.data], [hers.id])
same("charges by payment", [row.id for row in V1.charges.list({"payment_intent": hers.id}).data], [hers.latest_charge])
same("charges by customer", [row.id for row in V1.charges.list({"customer": customer.id}).data], [hers.latest_charge])
check("customers listed", customer.id in [row.id for row in V1.customers.list({"email": "ada@example.com"}).auto_paging_iter()])
same("customer deleted", V1.customers.delete(customer.id).deleted, True)
same("a deleted customer says so", V1.customers.retrieve(customer.id).deleted, True)

# what is not there
refused("no such payment", stripe.InvalidRequestError, lambda: V1.payment_intents.retrieve("pi_none"), http_status=404,
        code="resource_missing")
refused("no such test token", stripe.InvalidRequestError, lambda: pay(100, "pm_card_none"), code="resource_missing", param="payment_method")
refused("unknown parameter", stripe.InvalidRequestError, lambda: V1.payment_intents.create({"amount": 100, "currency": "usd", "colour": "red"}),
        http_status=400, code="parameter_unknown", param="colour")
refused("amount missing", stripe.InvalidRequestError, lambda: V1.payment_intents.create({"currency": "usd"}),
        code="parameter_missing", param="amount")

# events
succeeded = next((event for event in V1.events.list({"type": "payment_intent.succeeded", "limit": 100}).auto_paging_iter()
                  if event.data.object.id == paid.id), None)
check("the event of the payment", succeeded is not None)
same("the event holds the payment", (succeeded.object, succeeded.data.object.amount), ("event", 2000))
check("the event names the request", succeeded.request.id.startswith("req_"), succeeded.request)
same("one event retrieved", V1.events.retrieve(succeeded.id).type, "payment_intent.succeeded")

# auto-paging over 250, newest first, forwards and backwards
pager = V1.customers.create({"name": "Pager"})
made = [V1.payment_intents.create({"amount": 100 + n, "currency": "usd", "customer": pager.id}).id for n in range(250)]
found = [row.id for row in V1.payment_intents.list({"customer": pager.id, "limit": 100}).auto_paging_iter()]
same("auto-paging finds 250", len(found), 250)
same("each once, newest first", found, made[::-1])
small = V1.payment_intents.list({"customer": pager.id, "limit": 3})
same("a page of three", ([row.id for row in small.data], small.has_more), (made[:-4:-1], True))
before = V1.payment_intents.list({"customer": pager.id, "limit": 2, "ending_before": made[100]})
same("the page before", [row.id for row in before.data], [made[102], made[101]])
first = V1.payment_intents.retrieve(made[0])
check("by time", len(V1.payment_intents.list({"customer": pager.id, "created": {"lt": first.created}}).data) == 0)
