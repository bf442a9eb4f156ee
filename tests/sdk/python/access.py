"""Who may do what: Bearer and Basic, restricted and publishable keys, the second merchant."""

import base64
import json
import ssl
import urllib.request

from support import DEV, V1, check, client, pay, refused, same
import stripe

refused("a wrong key", stripe.AuthenticationError, lambda: client("sk_test_wrong").v1.customers.list(), http_status=401)
publishable = client(DEV["publishable_key"]).v1
refused("a publishable key", stripe.PermissionError, lambda: publishable.payment_intents.list(), http_status=403)
refused("writes neither", stripe.PermissionError, lambda: publishable.payment_intents.create({"amount": 100, "currency": "usd"}), http_status=403)

paid = pay(1000)
REACHES = {
    "checkout": lambda api: api.payment_intents.create({"amount": 100, "currency": "usd"}),
    "refunds": lambda api: api.refunds.create({"payment_intent": paid.id, "amount": 1}),
    "disputes": lambda api: api.disputes.list(),
    "risk": lambda api: api.reviews.list(),
    "finance": lambda api: api.balance.retrieve(),
    "admin": lambda api: api.webhook_endpoints.list(),
}
for holder, key in DEV["restricted_keys"].items():
    api = client(key).v1
    for scope, call in REACHES.items():
        if scope == holder:
            check(f"the {holder} key reaches {scope}", call(api) is not None)
        else:
            refused(f"the {holder} key at {scope}", stripe.PermissionError, lambda: call(api), http_status=403)

context = ssl.create_default_context(cafile=DEV["ca_file"])


def raw(path, headers):
    request = urllib.request.Request(DEV["api_url"] + path, headers=headers)
    with urllib.request.urlopen(request, context=context) as answer:
        return json.load(answer)


basic = base64.b64encode(f"{DEV['secret_key']}:".encode()).decode()
same("Basic, as curl -u sends it", raw(f"/v1/payment_intents/{paid.id}", {"Authorization": f"Basic {basic}"})["id"], paid.id)
same("Bearer", raw(f"/v1/payment_intents/{paid.id}", {"Authorization": f"Bearer {DEV['secret_key']}"})["id"], paid.id)

first, second = (merchant["id"] for merchant in DEV["merchants"])
other = {"stripe_account": second}
theirs = V1.payment_intents.create({"amount": 300, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}, other)
same("on behalf of the second merchant", V1.payment_intents.retrieve(theirs.id, {}, other).id, theirs.id)
refused("not ours", stripe.InvalidRequestError, lambda: V1.payment_intents.retrieve(theirs.id), http_status=404, code="resource_missing")
refused("nor ours theirs", stripe.InvalidRequestError, lambda: V1.payment_intents.retrieve(paid.id, {}, other), http_status=404)
refused("no refund across", stripe.InvalidRequestError, lambda: V1.refunds.create({"payment_intent": paid.id}, other), http_status=404)
refused("no charge across", stripe.InvalidRequestError, lambda: V1.charges.retrieve(theirs.latest_charge), http_status=404)
refused("no list from there", stripe.InvalidRequestError, lambda: V1.payment_intents.list({"starting_after": theirs.id}),
        http_status=404, param="starting_after")
check("nor in lists", theirs.id not in [row.id for row in V1.payment_intents.list({"limit": 100}).data])
refused("a restricted key is one merchant's", stripe.PermissionError,
        lambda: client(DEV["restricted_keys"]["checkout"]).v1.payment_intents.list({}, other), http_status=403)
refused("no such merchant", stripe.PermissionError, lambda: V1.payment_intents.list({}, {"stripe_account": "acct_none"}), http_status=403)
same("whose account", V1.accounts.retrieve_current().id, first)
