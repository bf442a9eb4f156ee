// Every row of the error table becomes its exception: the class is what a merchant's software branches on.

import { randomUUID } from 'node:crypto';
import { DEV, Stripe, check, client, pay, refused, same, stripe } from './support.mjs';

const errors = Stripe.errors;
const hers = { amount: 1000, currency: 'usd' };

// 400 and 404
await refused('400 a missing parameter', errors.StripeInvalidRequestError, stripe.paymentIntents.create({ currency: 'usd' }), { statusCode: 400, code: 'parameter_missing' });
await refused('400 a wrong state', errors.StripeInvalidRequestError, stripe.paymentIntents.capture((await pay(900)).id), { statusCode: 400, code: 'payment_intent_unexpected_state' });
await refused('404 no such object', errors.StripeInvalidRequestError, stripe.paymentIntents.retrieve('pi_none'), { statusCode: 404, code: 'resource_missing' });
const paid = await pay(900);
await stripe.refunds.create({ payment_intent: paid.id });
await refused('400 refunded already', errors.StripeInvalidRequestError, stripe.refunds.create({ payment_intent: paid.id }), { statusCode: 400, code: 'charge_already_refunded' });
// 400 with a type of its own
const idempotencyKey = randomUUID();
await stripe.paymentIntents.create(hers, { idempotencyKey });
await refused('400 idempotency', errors.StripeIdempotencyError, stripe.paymentIntents.create({ ...hers, amount: 1001 }, { idempotencyKey }), { statusCode: 400 });
// 401 and 403
await refused('401 a wrong key', errors.StripeAuthenticationError, client('sk_test_wrong').paymentIntents.list(), { statusCode: 401 });
await refused('403 a key without the right', errors.StripePermissionError, client(DEV.restricted_keys.finance).paymentIntents.create(hers), { statusCode: 403 });
// 402
await refused('402 a decline', errors.StripeCardError, pay(900, 'pm_card_visa_chargeDeclined'), { statusCode: 402, code: 'card_declined', decline_code: 'generic_decline' });
await refused('402 authentication', errors.StripeCardError, pay(900, 'pm_card_authenticationRequired', { off_session: true }), { statusCode: 402, code: 'authentication_required' });
// 409: the same key while the first request is at the acquirer
const rule = { path: '/v1/payment_intents', amount: 4243409, action: 'delay', ms: 1500, remaining: 1 };
await fetch(`${DEV.simulator_admin_url}/admin/faults`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(rule) });
const slow = { amount: 4243409, currency: 'usd', payment_method: 'pm_card_visa', confirm: true };
const key = { idempotencyKey: randomUUID() };
const both = await Promise.allSettled([0, 1].map(() => stripe.paymentIntents.create(slow, key)));
let found = both.find((one) => one.status === 'rejected').reason;
same('409 in use', [found.constructor, found.statusCode, found.code], [errors.StripeAPIError, 409, 'idempotency_key_in_use']);
same('the other was not disturbed', both.find((one) => one.status === 'fulfilled').value.status, 'succeeded');
// 429
const limited = client(process.env.LIMITED_KEY);
found = undefined;
for (let n = 0; n < 200 && !found; n += 1) await limited.paymentIntents.list({ limit: 1 }).catch((error) => { found = error; });
same('429 too many', [found.constructor, found.statusCode], [errors.StripeRateLimitError, 429]);
// everything else
await refused('405 another method', errors.StripeAPIError, stripe.rawRequest('DELETE', '/v1/payment_intents'), { statusCode: 405 });
check('all rows', true);
