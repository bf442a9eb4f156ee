"""Search over payments, charges and customers: Stripe's query language, by pages, and nothing of another merchant."""

import uuid

import stripe
from support import DEV, V1, check, client, pay, refused, same

BAD = stripe.InvalidRequestError
RUN = uuid.uuid4().hex


def ids(found):
    return [one.id for one in found]


def find(query, kind=V1.payment_intents, **more):
    return list(kind.search({"query": query, "limit": 100, **more}).auto_paging_iter())


ada = V1.customers.create({"name": "Ada Byron", "email": f"Ada.{RUN}@Example.com", "phone": "+441234", "metadata": {"run": RUN, "tier": "gold"}})
bob = V1.customers.create({"name": "Bob O'Neill", "email": f"bob.{RUN}@example.com", "metadata": {"run": RUN}})
first = pay(1100, metadata={"run": RUN, "order": "1"}, customer=ada.id)
second = pay(2200, metadata={"run": RUN, "order": "2 it's"}, customer=bob.id)
third = V1.payment_intents.create({"amount": 3300, "currency": "eur", "metadata": {"run": RUN}})
V1.refunds.create({"payment_intent": second.id})
OURS = f"metadata['run']:'{RUN}'"
newest = [third.id, second.id, first.id]

# what each clause finds, newest first
for query, expected in [
    (OURS, newest),
    (f'metadata["run"]:"{RUN}"', newest),
    (f"{OURS} AND status:'succeeded'", [second.id, first.id]),
    (f"{OURS} status:'SUCCEEDED' amount>1100", [second.id]),
    (f"{OURS} and amount>=1100 and amount<=2200", [second.id, first.id]),
    (f"{OURS} AND amount:3300", [third.id]),
    (f"{OURS} AND -currency:'usd'", [third.id]),
    (f"{OURS} AND metadata['order']:null", [third.id]),
    (f"{OURS} AND -metadata['order']:null", [second.id, first.id]),
    (f"{OURS} AND -metadata['order']:'1'", [third.id, second.id]),
    (f"{OURS} AND metadata['order']:'2 it\\'s'", [second.id]),
    (f"{OURS} AND customer:'{ada.id}'", [first.id]),
    (f"{OURS} AND customer:null", [third.id]),
    (f"customer:'{ada.id}' OR customer:'{bob.id}'", [second.id, first.id]),
    (f"{OURS} AND created>={first.created}", newest),
    (f"{OURS} AND created<{first.created}", []),
    (f"created>{first.created - 1} AND currency:'eur' AND {OURS}", [third.id]),
]:
    same(f"payments: {query.replace(RUN, '..')}", ids(find(query)), expected)
for query, expected in [
    (OURS, [second.id, first.id]),
    (f"{OURS} AND refunded:'true'", [second.id]),
    (f"{OURS} AND disputed:'false' AND status:'succeeded' AND payment_method_details.card.last4:4242", [second.id, first.id]),
    (f"{OURS} AND payment_method_details.card.brand:'visa' AND -customer:'{ada.id}'", [second.id]),
]:
    same(f"charges: {query.replace(RUN, '..')}", [c.payment_intent for c in find(query, V1.charges)], expected)
for query, expected in [
    (f"email:'ada.{RUN}@example.com'", [ada.id]),
    (f"email~'{RUN}'", [bob.id, ada.id]),
    (f"{OURS} AND name~'byr'", [ada.id]),
    (f"{OURS} AND name:'bob o\\'neill' AND phone:null", [bob.id]),
    (f"{OURS} AND -metadata['tier']:'gold'", [bob.id]),
]:
    same(f"customers: {query.replace(RUN, '..')}", ids(find(query, V1.customers)), expected)
V1.customers.delete(bob.id)
same("who is deleted is not found", ids(find(OURS, V1.customers)), [ada.id])

# pages
page = V1.payment_intents.search({"query": OURS, "limit": 2})
same("a page", (ids(page.data), page.has_more, page.object, page.url), (newest[:2], True, "search_result", "/v1/payment_intents/search"))
rest = V1.payment_intents.search({"query": OURS, "limit": 2, "page": page.next_page})
same("and the next, the last", (ids(rest.data), rest.has_more, rest.next_page), (newest[2:], False, None))
same("page by page", ids(V1.payment_intents.search({"query": OURS, "limit": 1}).auto_paging_iter()), newest)
same("expanded", V1.payment_intents.search({"query": OURS, "limit": 1, "expand": ["data.customer"], "page": page.next_page}).data[0].customer.id, ada.id)
changed = V1.payment_intents.update(third.id, {"metadata": {"order": "3"}})
same("what changes is found at once", ids(find(f"metadata['order']:'3' AND {OURS}")), [third.id])

# refusals that help
for query, says in [
    ("status", "character 7"),
    ("status:'succeeded", "does not end"),
    ("a:1 OR b:2 AND c:3", "mixed"),
    ("colour:'red'", "amount, created, currency, customer, status"),
    ("amount:'much'", "whole number"),
    ("amount~10", "compared with"),
    ("status~'succ'", "alone"),
    ("status>1", "alone"),
    ("metadata:'x'", "by key"),
    ("created>yesterday", "unix seconds"),
    ("amount:null", "never null"),
    (" ".join(["amount>1"] * 11), "at most 10"),
]:
    error = refused(f"{query[:40]}", BAD, lambda: find(query), code="search_query_invalid", param="query", http_status=400)
    check(f"{query[:40]}: says what to do", says in error.user_message, error.user_message)
refused("no query", BAD, lambda: V1.payment_intents.search({"query": ""}), code="parameter_missing", param="query")
refused("a page of nothing", BAD, lambda: V1.payment_intents.search({"query": OURS, "page": "x' OR 1=1"}), param="page")
refused("a limit beyond", BAD, lambda: V1.payment_intents.search({"query": OURS, "limit": 101}), param="limit")
refused("a short part of a text", BAD, lambda: find("name~'ab'", V1.customers), code="search_query_invalid")

# another merchant finds nothing of it
other = client(stripe_account=DEV["merchants"][1]["id"]).v1
for query in [OURS, f"customer:'{ada.id}'", f"-status:'canceled' AND {OURS}", "amount:1100"]:
    theirs = ids(list(other.payment_intents.search({"query": query, "limit": 100}).auto_paging_iter()))
    same(f"another merchant: {query.replace(RUN, '..')}", [one for one in theirs if one in newest], [])
same("nor its charges", [c.id for c in other.charges.search({"query": OURS}).data], [])
same("nor its customers", [c.id for c in other.customers.search({"query": OURS}).data], [])
