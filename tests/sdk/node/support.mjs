// What every script here shares: the unmodified SDK pointed at a running `counterfoil dev`, and one line per check.
//
//     node payments.mjs DIR/dev.json

import { readFileSync } from 'node:fs';
import https from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import Stripe from 'stripe';

export { Stripe };
export const DEV = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const PATIENCE_MS = 60_000;
const agent = new https.Agent({ ca: readFileSync(DEV.ca_file), keepAlive: true });

// Without the SDK's own retries: a script sees every answer.
export function client(key = DEV.secret_key) {
  const { hostname, port } = new URL(DEV.api_url);
  return new Stripe(key, { host: hostname, port, protocol: 'https', httpAgent: agent, maxNetworkRetries: 0 });
}

export const stripe = client();

// Prints the check; a wrong one ends the script.
export function check(what, truth, shown) {
  if (truth) {
    console.log(`ok   ${what}`);
    return;
  }
  console.log(`FAIL ${what}${shown === undefined ? '' : `: ${JSON.stringify(shown)}`}`);
  process.exit(1);
}

export function same(what, found, expected) {
  check(what, isDeepStrictEqual(found, expected), { found, expected });
}

// The promise is refused with this class of error and these attributes; gives the error.
export async function refused(what, kind, promise, expected = {}) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    check(`${what}: ${kind.name ?? kind}`, error instanceof kind, `${error}`);
    for (const [name, value] of Object.entries(expected)) same(`${what}: ${name}`, error[name], value);
    check(`${what}: has a request id`, (error.requestId ?? '').startsWith('req_'), error.requestId);
    return error;
  }
  check(`${what}: refused`, false, answer);
}

// Asks until the answer is true; gives it.
export async function eventually(what, ask) {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const answer = await ask();
    if (answer) {
      console.log(`ok   ${what}`);
      return answer;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  check(`${what} (within ${PATIENCE_MS} ms)`, false);
}

export const pay = (amount = 2000, method = 'pm_card_visa', more = {}, options = undefined) =>
  stripe.paymentIntents.create({ amount, currency: 'usd', payment_method: method, confirm: true, ...more }, options);

export const card = (number) => ({ type: 'card', card: { number, exp_month: 12, exp_year: 2034, cvc: '314' } });
