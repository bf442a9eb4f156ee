// Events, webhooks, balance, disputes, reviews and keys, with the Node.js SDK.

import http from 'node:http';
import { DEV, Stripe, check, client, eventually, pay, refused, same, stripe } from './support.mjs';

const { StripeAuthenticationError, StripeCardError, StripeInvalidRequestError, StripePermissionError } = Stripe.errors;

// a delivery, judged by the SDK
const received = [];
const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    received.push({ headers: request.headers, body: Buffer.concat(parts) });
    response.end();
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const endpoint = await stripe.webhookEndpoints.create({
  url: `http://127.0.0.1:${server.address().port}/hook`, enabled_events: ['payment_intent.succeeded'],
});
const paid = await pay(3300);
const delivered = await eventually('delivered', async () => received.find((each) => each.body.includes(paid.id)));
const event = stripe.webhooks.constructEvent(delivered.body, delivered.headers['stripe-signature'], endpoint.secret);
same('the SDK accepts the signature', [event.type, event.data.object.id], ['payment_intent.succeeded', paid.id]);
try {
  stripe.webhooks.constructEvent(`${delivered.body} `, delivered.headers['stripe-signature'], endpoint.secret);
  check('another body is not accepted', false);
} catch (error) {
  check('another body is not accepted', error instanceof Stripe.errors.StripeSignatureVerificationError, `${error}`);
}
same('the event can be retrieved', (await stripe.events.retrieve(event.id)).data.object.id, paid.id);
check('and listed', (await stripe.events.list({ type: 'payment_intent.succeeded', limit: 100 })).data.some((each) => each.id === event.id));
same('the endpoint goes', (await stripe.webhookEndpoints.del(endpoint.id)).deleted, true);
server.close();

// balance
const charge = await stripe.charges.retrieve(paid.latest_charge, { expand: ['balance_transaction'] });
const row = charge.balance_transaction;
same('net = amount - fee', [row.type, row.amount, row.net], ['charge', 3300, 3300 - row.fee]);
same('by source', (await stripe.balanceTransactions.list({ source: charge.id })).data.map((each) => each.id), [row.id]);
same('the balance', (await stripe.balance.retrieve()).object, 'balance');

// disputes
async function disputed(amount) {
  const payment = await pay(amount, 'pm_card_createDispute');
  const [dispute] = await eventually('a dispute appears', async () => {
    const { data } = await stripe.disputes.list({ payment_intent: payment.id });
    return data.length > 0 && data;
  });
  return dispute;
}
async function settled(id, status) {
  return eventually(status, async () => (await stripe.disputes.retrieve(id)).status === status);
}
const winning = await disputed(4000);
same('what it is about', [winning.amount, winning.reason], [4000, 'fraudulent']);
await stripe.disputes.update(winning.id, { evidence: { uncategorized_text: 'winning_evidence' }, submit: true });
await settled(winning.id, 'won');
const losing = await disputed(4100);
await stripe.disputes.update(losing.id, { evidence: { uncategorized_text: 'losing_evidence' }, submit: true });
await settled(losing.id, 'lost');
same('closing accepts', (await stripe.disputes.close((await disputed(4200)).id)).status, 'lost');

// reviews
const risky = await pay(2500, 'pm_card_riskLevelElevated', { expand: ['review'] });
same('elevated risk waits', [risky.status, risky.review.open], ['requires_capture', true]);
same('approved', (await stripe.reviews.approve(risky.review.id)).closed_reason, 'approved');
same('which captures', (await stripe.paymentIntents.retrieve(risky.id)).status, 'succeeded');
await refused('blocked', StripeCardError, pay(2500, 'pm_card_radarBlock'), { statusCode: 402, code: 'card_declined' });

// keys and merchants
const { data } = await stripe.paymentIntents.list({ limit: 1 }, { stripeAccount: DEV.merchants[1].id });
check('the second merchant sees its own', data.every((each) => each.id !== risky.id));
await refused('and not ours', StripeInvalidRequestError, stripe.paymentIntents.retrieve(paid.id, {}, { stripeAccount: DEV.merchants[1].id }), { statusCode: 404 });
await refused('a wrong key', StripeAuthenticationError, client('sk_test_wrong').customers.list(), { statusCode: 401 });
await refused('a publishable key', StripePermissionError, client(DEV.publishable_key).customers.list(), { statusCode: 403 });
await refused('a restricted key', StripePermissionError, client(DEV.restricted_keys.finance).customers.list(), { statusCode: 403 });
check('within its scope', (await client(DEV.restricted_keys.finance).balance.retrieve()).object === 'balance');
