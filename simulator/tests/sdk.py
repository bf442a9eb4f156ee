"""Walks through the API with the official SDK. Usage: sdk.py API_URL"""
import sys
import time
import urllib.error
import urllib.request

import stripe

url = sys.argv[1]
c = stripe.StripeClient("sk_test_sdk", base_addresses={"api": url, "files": url})
pi = c.v1.payment_intents.create({"amount": 2000, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa", "metadata": {"counterfoil_reference": "r1"}, "expand": ["latest_charge"], "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}})
assert pi.status == "succeeded" and pi.latest_charge.paid and pi.latest_charge.outcome.type == "authorized"
o = {"idempotency_key": "sdk-1"}
a = c.v1.payment_intents.create({"amount": 500, "currency": "eur"}, o); b = c.v1.payment_intents.create({"amount": 500, "currency": "eur"}, o)
assert a.id == b.id and b.last_response.headers["Idempotent-Replayed"] == "true"
try: c.v1.payment_intents.create({"amount": 501, "currency": "eur"}, o); assert 0
except stripe.IdempotencyError as e: print(e)
try: c.v1.payment_intents.create({"amount": 500, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds"}); assert 0
except stripe.CardError as e: assert e.code == "card_declined" and e.error.decline_code == "insufficient_funds" and e.error.payment_intent.status == "requires_payment_method"; print(e)
m = c.v1.payment_intents.create({"amount": 900, "currency": "usd", "confirm": True, "capture_method": "manual", "payment_method_data": {"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}}})
assert m.status == "requires_capture" and m.amount_capturable == 900
m = c.v1.payment_intents.increment_authorization(m.id, {"amount": 1000})
m = c.v1.payment_intents.capture(m.id, {"amount_to_capture": 400}); assert m.amount_received == 400
r = c.v1.refunds.create({"payment_intent": m.id, "amount": 100}); assert r.status == "succeeded"
try: c.v1.refunds.create({"payment_intent": m.id, "amount": 400}); assert 0
except stripe.InvalidRequestError as e: print(e)
try: c.v1.payment_intents.retrieve("pi_none"); assert 0
except stripe.InvalidRequestError as e: assert e.code == "resource_missing"
s = c.v1.payment_intents.search({"query": "metadata['counterfoil_reference']:'r1'"}); assert [x.id for x in s.data] == [pi.id]
for i in range(25): c.v1.payment_intents.create({"amount": 100 + i, "currency": "usd"})
ids = [x.id for x in c.v1.payment_intents.list({"limit": 10}).auto_paging_iter()]
assert len(ids) == len(set(ids)) == 29, len(ids)
assert len(c.v1.payment_intents.list({"limit": 100, "created": {"gte": int(time.time()) + 100}}).data) == 0
d = c.v1.payment_intents.create({"amount": 700, "currency": "usd", "confirm": True, "payment_method": "pm_card_createDispute"})
time.sleep(.5)
dp = c.v1.disputes.list({"payment_intent": d.id}).data[0]; assert dp.status == "needs_response" and dp.balance_transactions[0].net == -2200 and dp.evidence.receipt is None
dp = c.v1.disputes.update(dp.id, {"evidence": {"uncategorized_text": "winning_evidence"}}); print(dp.status)
time.sleep(.5); dp = c.v1.disputes.retrieve(dp.id); assert dp.status == "won" and len(dp.balance_transactions) == 2
ch = c.v1.charges.list({"payment_intent": d.id, "expand": ["data.balance_transaction"]}).data[0]; assert ch.disputed and ch.balance_transaction.type == "charge"
print(c.v1.balance.retrieve().pending[0].amount, c.v1.balance_transactions.list().data[0].type, c.v1.events.list({"type": "charge.dispute.closed"}).data[0].data.object.status)
pm = c.v1.payment_methods.create({"type": "card", "card": {"number": "5555555555554444", "exp_month": 1, "exp_year": 2030}}); assert c.v1.payment_methods.retrieve(pm.id).card.brand == "mastercard"
x = c.v1.payment_intents.create({"amount": 700, "currency": "usd", "confirm": True, "payment_method": pm.id, "off_session": True}); assert x.status == "succeeded"
t = c.v1.payment_intents.create({"amount": 700, "currency": "usd", "confirm": True, "payment_method": "pm_card_threeDSecure2Required", "return_url": "http://127.0.0.1/x"}); assert t.next_action.redirect_to_url.url.endswith(t.id)
urllib.request.urlopen(t.next_action.redirect_to_url.url).read()
class N(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *a): return None
try: urllib.request.build_opener(N).open(urllib.request.Request(t.next_action.redirect_to_url.url + "/complete", method="POST"))
except urllib.error.HTTPError as e: assert e.code == 303; print(e.headers["location"])
assert c.v1.payment_intents.retrieve(t.id).status == "succeeded"
w = c.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/x", "enabled_events": ["*"]}); assert w.secret.startswith("whsec_"); assert c.v1.webhook_endpoints.delete(w.id).deleted
x = c.v1.payment_intents.cancel(ids[0], {"cancellation_reason": "abandoned"}); assert x.status == "canceled"
try: stripe.StripeClient("nope", base_addresses={"api": url}).v1.balance.retrieve(); assert 0
except stripe.AuthenticationError as e: print(e)
print("SDK OK", stripe.VERSION)
