// Publishes marks with the CloudEvents SDK, in all of its ways.
import { CloudEvent, HTTP, emitterFor, Mode } from "cloudevents";

const [address, token] = process.argv.slice(2);
const mark = { student_id: "s-1", class_id: "7A", date: "2026-09-01", session: "day", status: "late" };
const text = new TextEncoder().encode(JSON.stringify(mark));
let n = 0;
const event = (data, more) => new CloudEvent({
	id: `js-${++n}`, source: "/sis/js", type: "schoolbell.attendance.marked.v1", actor: "Élodie", data, ...more,
});

async function post({ headers, body }) {
	const response = await fetch(address, {
		method: "POST", body, headers: { ...headers, authorization: `Bearer ${token}` },
	});
	if (response.status !== 202) {
		throw new Error(`${JSON.stringify(headers)}: ${response.status} ${await response.text()}`);
	}
}

await post(HTTP.binary(event(mark)));
await post(HTTP.structured(event(mark)));
await post(HTTP.binary(event(mark, { datacontenttype: "application/json; charset=utf-8" })));
await post(HTTP.structured(event(text, { datacontenttype: "application/json" })));
await post(HTTP.structured(event(Buffer.from(text), { datacontenttype: "application/json" })));
await post(HTTP.structured(event(mark, { subject: null, dataschema: null, sequence: 7, sampled: true })));
for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
	await emitterFor(post, { mode })(event(mark));
}
