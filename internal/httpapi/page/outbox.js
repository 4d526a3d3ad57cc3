// Shows the outbox of a school as it fills: what was there, and from then on whenever the table of deliveries changes.
// Everything is put in as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const seen = new Set();
const known = { token: "", school: "" };
let kind = "", items = [], counts = {}, stream, timer, asking = false, again = false;

const element = (name, text, ...children) => {
  const e = document.createElement(name);
  if (text) e.textContent = text;
  e.append(...children);
  return e;
};

// link is an address as something to click on; what is not an address of the web stays text.
const link = (href, text) => {
  const e = element("a", text);
  e.href = href;
  e.rel = "noreferrer";
  e.target = "_blank";
  return e;
};

const withLinks = (text) => {
  const p = element("p");
  for (const part of text.split(/(https?:\/\/\S+)/)) p.append(/^https?:\/\//.test(part) ? link(part, part) : part);
  return p;
};

const names = { sms: "Text", email: "Letter", push: "Notice", in_app: "Message", pdf: "Document" };

const card = (item) => {
  const a = element("article");
  a.className = item.kind + (item.fresh ? " new" : "");
  const when = element("time", new Date(item.at).toLocaleString());
  when.dateTime = item.at;
  const to = [item.recipient, item.address].filter(Boolean).join(", ");
  a.append(element("header", "", element("b", names[item.kind] ?? item.kind), element("span", `to ${to}`),
    ...(item.sender ? [element("span", `from ${item.sender}`)] : []),
    ...(item.segments ? [element("span", item.segments === 1 ? "1 segment" : `${item.segments} segments`)] : []), when));
  if (item.title) a.append(element("h2", item.title));
  if (item.link) a.append(element("p", "", link(item.link, `${item.what.replaceAll("_", " ")} (${Math.ceil(item.bytes / 1024)} KB)`)));
  if (item.body) {
    const p = withLinks(item.body);
    p.lang = item.language ?? "";
    p.dir = "auto";
    a.append(p);
  }
  return a;
};

const draw = () => {
  for (const b of document.querySelectorAll("[data-kind]")) {
    const all = Object.values(counts).reduce((sum, n) => sum + n, 0);
    b.setAttribute("aria-pressed", String(b.dataset.kind === kind));
    b.querySelector("b").textContent = b.dataset.kind ? counts[b.dataset.kind] ?? 0 : all;
  }
  $("items").replaceChildren(...(items.length ? items.map(card) : [element("p", "Nothing yet.")]));
};

const say = (text, bad) => {
  $("state").textContent = text;
  $("state").toggleAttribute("data-bad", Boolean(bad));
};

const call = async (path, options) => {
  const answer = await fetch(path, { ...options, headers: { Authorization: `Bearer ${known.token}` } });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || answer.statusText), { status: answer.status });
};

const path = (rest) => `/v1/schools/${encodeURIComponent(known.school)}${rest}`;

const load = async () => {
  if (asking) { again = true; return; } // one question at a time, and a last one after the last change
  asking = true;
  try {
    const asked = kind;
    const box = await call(path(`/outbox?limit=100${asked && `&channel=${asked}`}`));
    if (asked !== kind) { again = true; return; }
    const first = seen.size === 0;
    counts = box.counts;
    items = [...box.messages.map((m) => ({ ...m, id: m.delivery_id, kind: m.channel })),
      ...box.documents.map((d) => ({ ...d, id: d.delivery_id, what: d.kind, kind: "pdf" }))]
      .sort((a, b) => (a.at < b.at ? 1 : -1));
    for (const i of items) {
      i.fresh = !first && !seen.has(i.id) && Date.now() - Date.parse(i.at) < 60_000;
      seen.add(i.id);
    }
    draw();
    say(`${known.school}: the latest ${items.length}, as they come`);
  } finally {
    asking = false;
    if (again) { again = false; later(); }
  }
};

const later = () => {
  clearTimeout(timer);
  timer = setTimeout(() => load().catch(failed), 300);
};

// listen has the server say when the table of deliveries has changed; where nobody is connected live, it is asked.
const listen = async () => {
  stream?.close();
  try {
    const { ticket } = await call("/v1/realtime/tickets", { method: "POST" });
    stream = new EventSource(path(`/stream?rooms=dashboard:deliveries&ticket=${encodeURIComponent(ticket)}`));
    stream.addEventListener("update", later);
    stream.onerror = () => { stream.close(); setTimeout(() => { later(); listen(); }, 3000); }; // a ticket is good once
  } catch {
    setTimeout(() => { later(); listen(); }, 5000);
  }
};

const failed = (err) => {
  say(err.message, true);
  if (err.status === 401 || err.status === 403) leave();
};

const leave = () => {
  sessionStorage.removeItem("token");
  stream?.close();
  items = [];
  seen.clear();
  $("items").replaceChildren();
  $("kinds").hidden = true;
  $("sign-in").hidden = false;
};

const claims = (token) => JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));

const enter = async (token, school) => {
  known.token = token;
  known.school = school;
  await load();
  sessionStorage.setItem("token", token);
  sessionStorage.setItem("school", school);
  $("sign-in").hidden = true;
  $("kinds").hidden = false;
  listen();
};

$("sign-in").addEventListener("submit", (e) => {
  e.preventDefault();
  const token = $("token").value.trim();
  let of;
  try { of = claims(token).school; } catch { say("This is not a token.", true); return; }
  $("school-label").hidden = of !== "*"; // an operator says whose outbox
  const school = of === "*" ? $("school").value.trim() : of;
  if (school) enter(token, school).catch(failed);
});
$("leave").addEventListener("click", () => { leave(); say(""); });
for (const b of document.querySelectorAll("[data-kind]")) b.addEventListener("click", () => { kind = b.dataset.kind; load().catch(failed); });

$("sign-in").hidden = false;
if (sessionStorage.getItem("token")) enter(sessionStorage.getItem("token"), sessionStorage.getItem("school")).catch(failed);
