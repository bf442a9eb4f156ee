// Payments, declines, refunds, idempotency, customers, payment methods and paging, with the Node.js SDK.

import { randomUUID } from 'node:crypto';
import { Stripe, card, check, pay, refused, same, stripe } from './support.mjs';

const { StripeCardError, StripeIdempotencyError, StripeInvalidRequestError } = Stripe.errors;

// create and confirm, expanded
const paid = await pay(2000, 'pm_card_visa', { metadata: { order: '42' }, expand: ['latest_charge', 'payment_method'] });
same('create+confirm succeeds', [paid.status, paid.amount_received], ['succeeded', 2000]);
same('metadata comes back', paid.metadata, { order: '42' });
same('expanded charge', [paid.latest_charge.paid, paid.latest_charge.payment_intent], [true, paid.id]);
same('expanded payment method', paid.payment_method.card.last4, '4242');
check('the request is named', paid.lastResponse.requestId.startsWith('req_'));
const typed = await stripe.paymentIntents.create({
  amount: 1500, currency: 'eur', payment_method_data: card('5555555555554444'), confirm: true, description: null,
});
same('a typed card pays; null is unset', [typed.status, typed.description], ['succeeded', null]);
const waiting = await stripe.paymentIntents.create({ amount: 700, currency: 'usd' });
same('confirmed later', (await stripe.paymentIntents.confirm(waiting.id, { payment_method: 'pm_card_amex' })).status, 'succeeded');
same('updated', (await stripe.paymentIntents.update(paid.id, { metadata: { order: '', later: 'yes' } })).metadata, { later: 'yes' });

// manual capture in part, and cancel
const held = await pay(5000, 'pm_card_visa', { capture_method: 'manual' });
same('manual capture waits', [held.status, held.amount_capturable], ['requires_capture', 5000]);
const part = await stripe.paymentIntents.capture(held.id, { amount_to_capture: 3000 });
same('captured in part', [part.status, part.amount_received, part.amount_capturable], ['succeeded', 3000, 0]);
await refused('captured twice', StripeInvalidRequestError, stripe.paymentIntents.capture(held.id), { code: 'payment_intent_unexpected_state' });
const released = await stripe.paymentIntents.cancel((await pay(900, 'pm_card_visa', { capture_method: 'manual' })).id, {
  cancellation_reason: 'requested_by_customer',
});
same('an authorization is released', [released.status, released.cancellation_reason], ['canceled', 'requested_by_customer']);

// declines
const DECLINES = [
  ['pm_card_visa_chargeDeclined', 'card_declined', 'generic_decline'],
  ['pm_card_visa_chargeDeclinedInsufficientFunds', 'card_declined', 'insufficient_funds'],
  ['pm_card_visa_chargeDeclinedLostCard', 'card_declined', 'lost_card'],
  ['pm_card_visa_chargeDeclinedStolenCard', 'card_declined', 'stolen_card'],
  ['pm_card_visa_chargeDeclinedVelocityLimitExceeded', 'card_declined', 'card_velocity_exceeded'],
  ['pm_card_chargeDeclinedExpiredCard', 'expired_card'],
  ['pm_card_chargeDeclinedIncorrectCvc', 'incorrect_cvc'],
  ['pm_card_chargeDeclinedProcessingError', 'processing_error'],
  ['pm_card_chargeCustomerFail', 'card_declined'],
];
for (const [token, code, declineCode] of DECLINES) {
  const expected = { statusCode: 402, code, ...(declineCode ? { decline_code: declineCode } : {}) };
  const error = await refused(token, StripeCardError, pay(1000, token), expected);
  same(`${token}: can be retried`, error.payment_intent.status, 'requires_payment_method');
}

// refunds
const parts = [];
for (const amount of [300, 250]) parts.push(await stripe.refunds.create({ payment_intent: paid.id, amount }));
same('two partial refunds', parts.map((refund) => [refund.status, refund.amount]), [['succeeded', 300], ['succeeded', 250]]);
await refused('more than what is left', StripeInvalidRequestError, stripe.refunds.create({ payment_intent: paid.id, amount: 1451 }), { param: 'amount' });
same('the rest', (await stripe.refunds.create({ charge: paid.latest_charge.id, reason: 'duplicate' })).amount, 1450);
await refused('no more', StripeInvalidRequestError, stripe.refunds.create({ payment_intent: paid.id }), { code: 'charge_already_refunded' });
const charge = await stripe.charges.retrieve(paid.latest_charge.id);
same('the charge is refunded', [charge.refunded, charge.amount_refunded], [true, 2000]);

// idempotency
const idempotencyKey = randomUUID();
const first = await pay(1200, 'pm_card_visa', {}, { idempotencyKey });
const again = await pay(1200, 'pm_card_visa', {}, { idempotencyKey });
same('the same object', again.id, first.id);
same('said to be a replay', again.lastResponse.headers['idempotent-replayed'], 'true');
check('the first is none', !('idempotent-replayed' in first.lastResponse.headers));
await refused('other parameters', StripeIdempotencyError, pay(1201, 'pm_card_visa', {}, { idempotencyKey }), { statusCode: 400 });
await refused('other endpoint', StripeIdempotencyError, stripe.customers.create({}, { idempotencyKey }), { statusCode: 400 });

// customers and payment methods
const customer = await stripe.customers.create({ name: 'Grace', email: 'grace@example.com' });
const method = await stripe.paymentMethods.create(card('378282246310005'));
same('a payment method', [method.card.brand, method.card.last4, method.customer], ['amex', '0005', null]);
same('attached', (await stripe.paymentMethods.attach(method.id, { customer: customer.id })).customer, customer.id);
same('listed', (await stripe.customers.listPaymentMethods(customer.id)).data.map((row) => row.id), [method.id]);
const hers = await pay(900, method.id, { customer: customer.id });
same('pays', [hers.status, hers.customer], ['succeeded', customer.id]);
same('detached', (await stripe.paymentMethods.detach(method.id)).customer, null);
const bad = await stripe.paymentMethods.create(card('4000000000000002'));
await refused('a declined card cannot be attached', StripeCardError, stripe.paymentMethods.attach(bad.id, { customer: customer.id }));

// auto-paging over 250
const pager = await stripe.customers.create({ name: 'Pager' });
const made = [];
for (let n = 0; n < 250; n += 1) made.unshift((await stripe.paymentIntents.create({ amount: 100 + n, currency: 'usd', customer: pager.id })).id);
const found = [];
for await (const row of stripe.paymentIntents.list({ customer: pager.id, limit: 100 })) found.push(row.id);
same('auto-paging finds 250, each once, newest first', found, made);
await refused('no such payment', StripeInvalidRequestError, stripe.paymentIntents.retrieve('pi_none'), { statusCode: 404, code: 'resource_missing' });
