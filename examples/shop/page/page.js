// The page of the shop. Every click is one command with an id of its own, sent again under the same id if the network
// fails; every box shows what the view of that part answers.
"use strict";

const boxes = { sales: "reservation", invoicing: "invoice", shipping: "shipment", headquarters: "order" };
const byId = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let addresses = {};
let order = location.hash.slice(1); // the UUID that the reservation, the order, the invoice and the shipment share

const address = (part) => `${addresses[part]}/${boxes[part]}s/${boxes[part]}-${order}`;

async function carryOut(part, type, fields = {}) {
  const headers = { "Command-Type": type, "Command-Id": crypto.randomUUID(), "Content-Type": "application/json" };
  const request = { method: "POST", headers, body: JSON.stringify(fields) };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await fetch(address(part), request);
      const answer = await response.json();
      tell(response.ok ? `${type}: done` : `${type}: ${(answer.reasons || [answer.error]).join("; ")}`, response.ok);
      break;
    } catch (error) {
      if (attempt === 10) { tell(`${type}: ${error}`, false); break; }
      await pause(300);
    }
  }
  await show();
}

function tell(text, accepted) {
  byId("answer").textContent = text;
  byId("answer").className = accepted ? "" : "refused";
}

async function asked(url) {
  try {
    const response = await fetch(url);
    return response.ok ? await response.json() : null;
  } catch {
    return undefined; // nobody answers at this moment; what was shown stays
  }
}

async function show() {
  await Promise.all([...Object.keys(boxes).map(showBox), showOrders()]);
}

async function showBox(part) {
  const answer = order ? await asked(address(part)) : null;
  if (answer === undefined) return;
  const list = document.querySelector(`#${part} dl`);
  list.replaceChildren(...Object.entries(answer || {}).flatMap(([name, value]) => [
    element("dt", name.replace("_", " ")),
    element("dd", Array.isArray(value) ? value.map(lineText).join(", ") : value, name),
  ]));
}

async function showOrders() {
  const orders = await asked(`${addresses.headquarters}/orders`);
  if (!orders) return;
  byId("orders").replaceChildren(...orders.map((one) => {
    const link = element("a", `${one.customer}, ${one.total}: ${one.status}${one.reason ? `, ${one.reason}` : ""}`);
    link.href = `#${one.id.replace("order-", "")}`;
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
}

const lineText = (line) => `${line.quantity} × ${line.product} at ${line.price}`;

function element(kind, text, name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.dataset.name = name;
  return made;
}

function onSubmit(id, handle) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    handle(event.target.elements);
  });
}

onSubmit("create", ({ customer }) => {
  order = crypto.randomUUID();
  history.replaceState(null, "", `#${order}`);
  carryOut("sales", "create-reservation", { customer: customer.value });
});
onSubmit("reserve", ({ product, quantity }) => carryOut("sales", "reserve-product", {
  product: product.value, price: product.selectedOptions[0].dataset.price, quantity: quantity.valueAsNumber,
}));
byId("confirm").addEventListener("click", () => carryOut("sales", "confirm-reservation"));
byId("pay").addEventListener("click", async () => {
  const invoice = await asked(address("invoicing"));
  if (invoice) await carryOut("invoicing", "receive-payment", { amount: invoice.amount });
  else tell("receive-payment: there is no invoice", false);
});
byId("deliver").addEventListener("click", () => carryOut("shipping", "deliver-shipment"));
byId("withdraw").addEventListener("click", () => carryOut("headquarters", "withdraw-order"));
addEventListener("hashchange", () => { order = location.hash.slice(1); show(); });

async function follow() {
  addresses = await (await fetch("/addresses.json")).json();
  for (const [part, url] of Object.entries(addresses)) {
    const link = element("a", part);
    link.href = `${url}/openapi.json`;
    byId("documents").append(link, " ");
  }
  for (;;) {
    await show();
    await pause(300);
  }
}
follow();
