// Shows the operations of /openapi.json. Text is inserted as text, never as HTML.
"use strict";

const element = (name, text, ...children) => {
  const e = document.createElement(name);
  if (text) e.textContent = text;
  e.append(...children);
  return e;
};

let spec;

const resolve = (schema) => {
  const path = schema?.$ref?.replace("#/", "").split("/");
  return path ? path.reduce((at, key) => at[key], spec) : schema ?? {};
};

const typeOf = (schema) => {
  const s = resolve(schema);
  if (s.oneOf) return s.oneOf.map(typeOf).join(" or ");
  if (s.enum) return s.enum.join(" | ");
  const types = [].concat(s.type ?? "anything").filter((t) => t !== "null");
  if (types[0] === "array") return `list of ${typeOf(s.items)}`;
  return s.format ?? types[0];
};

// example is a value in the shape of a schema, with types in place of values.
const example = (schema, depth = 0) => {
  const s = resolve(schema);
  const type = [].concat(s.type)[0];
  if (depth > 6) return "…";
  if (type === "array") return [example(s.items, depth + 1)];
  if (s.properties) {
    return Object.fromEntries(Object.entries(s.properties).map(([k, v]) => [k, example(v, depth + 1)]));
  }
  if (type === "object" && typeof s.additionalProperties === "object") {
    return { "…": example(s.additionalProperties, depth + 1) };
  }
  return typeOf(s);
};

const table = (head, rows) => element("table", "",
  element("thead", "", element("tr", "", ...head.map((h) => element("th", h)))),
  element("tbody", "", ...rows.map((r) => element("tr", "", ...r.map((c) => element("td", c))))));

const body = (title, content) => Object.entries(content ?? {}).flatMap(([type, media]) => [
  element("p", `${title}: ${type}`),
  ...(media.schema ? [element("pre", JSON.stringify(example(media.schema), null, 2))] : []),
]);

const operation = (method, path, op) => {
  const e = element("details", "", element("summary", "",
    element("b", method.toUpperCase()), element("code", path), element("span", ` ${op.summary ?? ""}`)));
  if (op.description) e.append(element("p", op.description));
  const parameters = (op.parameters ?? []).map((p) => [
    p.name, p.in, typeOf(p.schema) + (p.required ? "" : ", optional"), p.description ?? p.schema?.description ?? ""]);
  if (parameters.length) e.append(table(["Parameter", "In", "Type", ""], parameters));
  e.append(...body("Request", op.requestBody?.content));
  for (const [status, r] of Object.entries(op.responses ?? {})) {
    if (status < "400") e.append(...body(`Response ${status}`, r.content));
  }
  const failures = Object.entries(op.responses ?? {}).filter(([status]) => status >= "400");
  if (failures.length) e.append(element("p", `Problems: ${failures.map(([s, r]) => `${s} ${r.description}`).join(", ")}`));
  return e;
};

const show = async () => {
  spec = await (await fetch("/openapi.json")).json();
  document.getElementById("about").textContent = `${spec.info.description} Version ${spec.info.version}.`;
  const groups = new Map((spec.tags ?? []).map((tag) => [tag.name, []])); // in the order of the tags
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      if (!op.responses) continue;
      const tag = op.tags?.[0] ?? "Other";
      groups.set(tag, [...(groups.get(tag) ?? []), operation(method, path, op)]);
    }
  }
  const main = document.getElementById("operations");
  const about = new Map((spec.tags ?? []).map((tag) => [tag.name, tag.description]));
  for (const [tag, operations] of groups) {
    if (operations.length) main.append(element("h2", tag), element("p", about.get(tag)), ...operations);
  }
};

show().catch((err) => { document.getElementById("about").textContent = `This page cannot be shown: ${err.message}`; });
