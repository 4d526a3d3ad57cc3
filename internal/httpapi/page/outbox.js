// Shows the outbox of a school, and reloads it whenever the table of deliveries changes. Text is inserted as text, never
// as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const seen = new Set();
const session = { token: "", school: "" };
let kind = "", items = [], counts = {}, stream, timer, loading = false, again = false;

const element = (name, text, ...children) => {
  const e = document.createElement(name);
  if (text) e.textContent = text;
  e.append(...children);
  return e;
};

// link makes a URL clickable.
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

const names = { sms: "SMS", email: "E-mail", push: "Push", in_app: "Message", pdf: "Document" };

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

const status = (text, bad) => {
  $("state").textContent = text;
  $("state").toggleAttribute("data-bad", Boolean(bad));
};

const call = async (path, options) => {
  const response = await fetch(path, { ...options, headers: { Authorization: `Bearer ${session.token}` } });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || response.statusText), { status: response.status });
};

const path = (rest) => `/v1/schools/${encodeURIComponent(session.school)}${rest}`;

const load = async () => {
  if (loading) { again = true; return; } // one request at a time, and one more after the last change
  loading = true;
  try {
    const wanted = kind;
    const box = await call(path(`/outbox?limit=100${wanted && `&channel=${wanted}`}`));
    if (wanted !== kind) { again = true; return; }
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
    status(`${session.school}: the latest ${items.length}, as they come`);
  } finally {
    loading = false;
    if (again) { again = false; later(); }
  }
};

const later = () => {
  clearTimeout(timer);
  timer = setTimeout(() => load().catch(failed), 300);
};

// listen reloads on each change of the table of deliveries, and every few seconds while there is no live connection.
const listen = async () => {
  stream?.close();
  try {
    const { ticket } = await call("/v1/realtime/tickets", { method: "POST" });
    stream = new EventSource(path(`/stream?rooms=dashboard:deliveries&ticket=${encodeURIComponent(ticket)}`));
    stream.addEventListener("update", later);
    stream.onerror = () => { stream.close(); setTimeout(() => { later(); listen(); }, 3000); }; // a ticket is valid once
  } catch {
    setTimeout(() => { later(); listen(); }, 5000);
  }
};

const failed = (err) => {
  status(err.message, true);
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
  session.token = token;
  session.school = school;
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
  try { of = claims(token).school; } catch { status("Not a token.", true); return; }
  $("school-label").hidden = of !== "*"; // an operator names the school
  const school = of === "*" ? $("school").value.trim() : of;
  if (school) enter(token, school).catch(failed);
});
$("leave").addEventListener("click", () => { leave(); status(""); });
for (const b of document.querySelectorAll("[data-kind]")) b.addEventListener("click", () => { kind = b.dataset.kind; load().catch(failed); });

$("sign-in").hidden = false;
if (sessionStorage.getItem("token")) enter(sessionStorage.getItem("token"), sessionStorage.getItem("school")).catch(failed);
