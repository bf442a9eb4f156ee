"""What every script here shares: the unmodified SDK pointed at a running `counterfoil dev`, and one line per check.

    python payments.py DIR/dev.json
"""

import json
import sys
import time

import stripe

DEV = json.load(open(sys.argv[1], encoding="utf-8"))
stripe.ca_bundle_path = DEV["ca_file"]
PATIENCE_S = 60


def client(key=None, **options):
    """A client with the secret key, without the SDK's own retries: a script sees every answer."""
    addresses = {"api": DEV["api_url"], "files": DEV["api_url"]}
    return stripe.StripeClient(key or DEV["secret_key"], base_addresses=addresses, max_network_retries=0, **options)


V1 = client().v1


def check(what, truth, shown=None):
    """Prints the check; a wrong one ends the script."""
    if truth:
        print(f"ok   {what}")
        return
    print(f"FAIL {what}" + ("" if shown is None else f": {shown!r}"))
    sys.exit(1)


def same(what, found, expected):
    check(what, found == expected, {"found": found, "expected": expected})


def refused(what, error, call, **expected):
    """The call raises this error, of exactly this class, with these attributes; returns the error."""
    try:
        answer = call()
    except stripe.StripeError as raised:
        check(f"{what}: {error.__name__}", type(raised) is error, raised)
        for name, value in expected.items():
            found = getattr(raised.error, name) if name == "decline_code" else getattr(raised, name)
            same(f"{what}: {name}", found, value)
        check(f"{what}: has a request id", str(raised.request_id or "").startswith("req_"), raised.request_id)
        return raised
    check(f"{what}: refused", False, answer)


def eventually(what, ask):
    """Asks until the answer is true; returns it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            print(f"ok   {what}")
            return answer
        time.sleep(0.1)
    check(f"{what} (within {PATIENCE_S} s)", False)


def pay(amount=2000, method="pm_card_visa", **more):
    """A confirmed payment."""
    return V1.payment_intents.create(
        {"amount": amount, "currency": "usd", "payment_method": method, "confirm": True, **more}
    )


def card(number, **more):
    """A typed card as `payment_method_data`."""
    return {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "314", **more}}
