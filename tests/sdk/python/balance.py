"""The balance and the transactions that make it: on the second merchant, which this script has nearly to itself."""

from support import DEV, V1, check, same
import stripe

ACCOUNT = {"stripe_account": DEV["merchants"][1]["id"]}


def total(currency):
    balance = V1.balance.retrieve({}, ACCOUNT)
    return sum(entry.amount for part in (balance.available, balance.pending) for entry in part if entry.currency == currency)


start = total("gbp")
paid = V1.payment_intents.create(
    {"amount": 10_000, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": True, "expand": ["latest_charge.balance_transaction"]}, ACCOUNT
)
row = paid.latest_charge.balance_transaction
same("the charge's transaction", (row.object, row.type, row.amount, row.currency), ("balance_transaction", "charge", 10_000, "gbp"))
check("a fee was taken", row.fee > 0, row.fee)
same("net = amount - fee", row.net, row.amount - row.fee)
same("the fee in detail", sum(part.amount for part in row.fee_details), row.fee)
same("where it comes from", row.source, paid.latest_charge.id)
same("the balance grew by the net", total("gbp") - start, row.net)
balance = V1.balance.retrieve({}, ACCOUNT)
same("the balance", (balance.object, balance.livemode), ("balance", False))
check("new money is pending", any(entry.currency == "gbp" and entry.amount >= row.net for entry in balance.pending), balance.pending)

refund = V1.refunds.create({"payment_intent": paid.id, "amount": 2_500, "expand": ["balance_transaction"]}, ACCOUNT)
back = refund.balance_transaction
same("the refund's transaction", (back.type, back.amount, back.source), ("refund", -2_500, refund.id))
same("the balance shrank by it", total("gbp") - start, row.net + back.net)
same("retrieved", V1.balance_transactions.retrieve(row.id, {}, ACCOUNT).net, row.net)
same("by source", [item.id for item in V1.balance_transactions.list({"source": refund.id}, ACCOUNT).data], [back.id])
everything = list(V1.balance_transactions.list({"currency": "gbp", "limit": 100}, ACCOUNT).auto_paging_iter())
same("the balance is the sum of its transactions", sum(item.net for item in everything), total("gbp"))
same("by type", {item.type for item in V1.balance_transactions.list({"type": "refund", "limit": 100}, ACCOUNT).data}, {"refund"})

yen = V1.payment_intents.create(
    {"amount": 1_234, "currency": "jpy", "payment_method": "pm_card_visa", "confirm": True, "expand": ["latest_charge.balance_transaction"]}, ACCOUNT
)
same("a currency without decimals", (yen.status, yen.latest_charge.balance_transaction.currency), ("succeeded", "jpy"))
same("its own balance", total("jpy"), sum(item.net for item in V1.balance_transactions.list({"currency": "jpy", "limit": 100}, ACCOUNT).auto_paging_iter()))
