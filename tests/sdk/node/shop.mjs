// A shop's day: 100 orders of every kind through the official SDK. It keeps its own accounts, by its own arithmetic, and ends with them
// as one line of JSON, to be compared with the service's books and the acquirer's own record (tests/it/shop.rs).
//
//     MERCHANT=acct_.. node shop.mjs DIR/dev.json
//
// The merchant pays 2.9 % and 30 cents; money is available at once.

import { readFileSync } from 'node:fs';
import https from 'node:https';
import { DEV, Stripe, check, eventually, same, stripe } from './support.mjs';

const FOR = { stripeAccount: process.env.MERCHANT };
const DISPUTE_FEE = 1500;
const WISHES = { card: { request_multicapture: 'if_available', request_overcapture: 'if_available', request_incremental_authorization: 'if_available' } };
const orders = [];

// What the merchant pays of a payment: 2.9 % half-even, and 30 cents; never more than there is.
function fee(captured) {
  const thousandths = BigInt(captured) * 29n;
  let percent = thousandths / 1000n;
  const rest = thousandths % 1000n;
  if (rest > 500n || (rest === 500n && percent % 2n === 1n)) percent += 1n;
  return Math.min(captured, Number(percent) + 30);
}

// The shop's own account of an order, in cents.
function note(payment, captured, more = {}) {
  const charge = payment.latest_charge?.id ?? payment.latest_charge;
  orders.push({
    payment: payment.id, charge, captured, refunded: 0, disputed: 0, fee: captured ? fee(captured) : 0, dispute_fee: 0,
    application_fee: 0, given_back: 0, ...more,
  });
}

const buy = (amount, method = 'pm_card_visa', more = {}) => stripe.paymentIntents.create({
  amount, currency: 'usd', payment_method: method, confirm: true, metadata: { order: orders.length }, ...more,
}, FOR);
const refund = (payment, more = {}) => stripe.refunds.create({ payment_intent: payment.id, ...more }, FOR);
const hold = (amount) => buy(amount, 'pm_card_visa', { capture_method: 'manual', payment_method_options: WISHES });
const take = (payment, more = {}) => stripe.paymentIntents.capture(payment.id, more, FOR);
const retrieve = (payment) => stripe.paymentIntents.retrieve(payment.id, {}, FOR);

// The payer's browser at the issuer's page; redirects are not followed.
const agent = new https.Agent({ ca: readFileSync(DEV.ca_file) });
async function post(url) {
  if (url.startsWith('http:')) return (await fetch(url, { method: 'POST', redirect: 'manual' })).status;
  return new Promise((resolve, reject) => {
    https.request(url, { method: 'POST', agent }, (answer) => resolve(answer.resume().statusCode)).on('error', reject).end();
  });
}

async function disputed(paid, evidence) {
  const found = await eventually('a dispute comes', async () => (await stripe.disputes.list({ payment_intent: paid.id }, FOR)).data[0]);
  const now = () => stripe.disputes.retrieve(found.id, {}, FOR);
  await eventually('its money is taken', async () => (await now()).balance_transactions.length > 0);
  await stripe.disputes.update(found.id, { evidence: { uncategorized_text: evidence }, submit: true }, FOR);
  const status = evidence === 'winning_evidence' ? 'won' : 'lost';
  await eventually(status, async () => (await now()).status === status);
  if (status === 'won') await eventually('the money is back', async () => (await now()).balance_transactions.length === 2);
}

const kept = {};
const KINDS = [
  async (n) => note(await buy(1100 + 139 * n), 1100 + 139 * n),
  async (n) => {
    const paid = await buy(2000 + n);
    await refund(paid, { amount: 700 });
    await refund(paid, { amount: 13 + n });
    note(paid, 2000 + n, { refunded: 713 + n });
  },
  async (n) => {
    const paid = await buy(3000 + n);
    await refund(paid);
    note(paid, 3000 + n, { refunded: 3000 + n });
  },
  async (n) => note(await take(await hold(4000 + n)), 4000 + n),
  async (n) => note(await take(await hold(5000 + n), { amount_to_capture: 4100 }), 4100),
  async (n) => {
    const held = await hold(6000 + n);
    await take(held, { amount_to_capture: 1999, final_capture: false });
    await refund(held, { amount: 500 });
    await take(held, { amount_to_capture: 2001, final_capture: false });
    const more = n % 20 === 5;
    const ended = more ? await take(held, { amount_to_capture: 1000 }) : await stripe.paymentIntents.cancel(held.id, {}, FOR);
    note(ended, more ? 5000 : 4000, { refunded: 500 });
  },
  async (n) => {
    const paid = await buy(2500 + n, 'pm_card_authenticationRequired', { return_url: 'https://shop.example/done' });
    same('3-D Secure', paid.status, 'requires_action');
    await post(`${paid.next_action.redirect_to_url.url}/complete`);
    same('the payer was there', (await retrieve(paid)).status, 'succeeded');
    note(paid, 2500 + n);
  },
  async (n) => {
    if (!kept.customer) {
      kept.customer = (await stripe.customers.create({ name: 'Ada' }, FOR)).id;
      const first = await buy(1800, 'pm_card_visa', { customer: kept.customer, setup_future_usage: 'off_session' });
      kept.method = first.payment_method;
      note(first, 1800);
      return;
    }
    note(await buy(1800 + n, kept.method, { customer: kept.customer, off_session: true }), 1800 + n);
  },
  async (n) => {
    let declined;
    try {
      await buy(2200 + n, 'pm_card_visa_chargeDeclinedInsufficientFunds');
    } catch (error) {
      check('a card without funds is declined', error instanceof Stripe.errors.StripeCardError, `${error}`);
      declined = error.payment_intent;
    }
    const paid = await stripe.paymentIntents.confirm(declined.id, { payment_method: 'pm_card_mastercard' }, FOR);
    note(paid, 2200 + n);
  },
  // What happens seldom: each once.
  async (n) => {
    if (n === 9) {
      const paid = await buy(7000, 'pm_card_createDispute');
      await disputed(paid, 'losing_evidence');
      note(paid, 7000, { disputed: 7000, dispute_fee: DISPUTE_FEE });
    } else if (n === 19) {
      const paid = await buy(7100, 'pm_card_createDispute');
      await disputed(paid, 'winning_evidence');
      note(paid, 7100, { dispute_fee: DISPUTE_FEE });
    } else if (n === 29) {
      note(await stripe.paymentIntents.cancel((await hold(4500)).id, {}, FOR), 0);
    } else if (n === 39) {
      const paid = await buy(1700, 'pm_card_refundFail');
      const back = await refund(paid);
      await eventually('a refund fails later', async () => (await stripe.refunds.retrieve(back.id, {}, FOR)).status === 'failed');
      note(paid, 1700);
    } else if (n === 49) {
      const raised = await stripe.paymentIntents.incrementAuthorization((await hold(5000)).id, { amount: 6000 }, FOR);
      note(await take(raised, { amount_to_capture: 6600 }), 6600);
    } else if (n === 59) {
      note(await buy(8000, 'pm_card_visa', { application_fee_amount: 650 }), 8000, { application_fee: 650 });
    } else if (n === 69) {
      const paid = await buy(1600, 'pm_card_pendingRefund');
      const back = await refund(paid, { amount: 400 });
      await eventually('a refund succeeds later', async () => (await stripe.refunds.retrieve(back.id, {}, FOR)).status === 'succeeded');
      note(paid, 1600, { refunded: 400 });
    } else if (n === 79) {
      const paid = await buy(9000, 'pm_card_visa', { application_fee_amount: 450 });
      await refund(paid, { amount: 3000, refund_application_fee: true });
      note(paid, 9000, { refunded: 3000, application_fee: 450, given_back: 150 });
    } else {
      const open = await stripe.paymentIntents.create({ amount: 100, currency: 'usd' }, FOR);
      note(await stripe.paymentIntents.cancel(open.id, {}, FOR), 0);
    }
  },
];
for (let n = 0; n < 100; n += 1) await KINDS[n % 10](n);
same('orders', orders.length, 100);

// what is the merchant's, by its own arithmetic
const earned = orders.reduce((sum, o) => sum + o.captured - o.refunded - o.disputed - o.fee - o.dispute_fee - o.application_fee + o.given_back, 0);
async function standing() {
  const balance = await stripe.balance.retrieve({}, FOR);
  const of = (side) => balance[side].filter((part) => part.currency === 'usd').reduce((sum, part) => sum + part.amount, 0);
  return [of('available'), of('pending')];
}
same('the balance, to the cent', (await standing()).reduce((a, b) => a + b), earned);
await eventually('all of it is available', async () => (await standing())[0] === earned && (await standing())[1] === 0);
const payout = await stripe.payouts.create({ amount: earned - 10000, currency: 'usd' }, FOR);
same('and it is paid out', payout.status, 'pending');
same('but for what stays', await standing(), [10000, 0]);
let net = 0;
for await (const line of stripe.balanceTransactions.list({ limit: 100 }, FOR)) net += line.net;
same('the lines add up to it', net, 10000);
console.log(`BOOKS ${JSON.stringify({ orders, paid_out: earned - 10000, left: 10000 })}`);
