#!/usr/bin/env bash
# Records an installation of an earlier version, for the test that a later one continues it:
#
#   record.sh PROGRAM      PROGRAM is that version's bin/schoolbell; needs pg_dump, curl and jq
#
# The school has students, an absence with its text, an invoice with its payment, and settings.
set -euo pipefail
program=$(realpath "$1") here=$(cd "$(dirname "$0")" && pwd) data=$(mktemp -d)
chmod 755 "$data"
"$program" serve --data "$data" --http 127.0.0.1:0 --ops 127.0.0.1:0 --kafka-partitions 2 >"$data/log" 2>&1 &
serve=$!
trap 'kill $serve 2>/dev/null || true; wait $serve || true; rm -rf "$data"' EXIT
until [ -s "$data/serve.json" ]; do
	kill -0 $serve || { cat "$data/log" >&2; exit 1; }
	sleep 0.2
done
url=$(jq -r .http "$data/serve.json") database=$(jq -r .database "$data/serve.json")
token=$("$program" token --data "$data" --school north --sub ada --role admin --ttl 240000h)
api() { curl -sS --fail-with-body -H "Authorization: Bearer $token" "$@"; }

api -o /dev/null -X PUT -H 'If-Match: "0"' -H 'Content-Type: application/json' "$url/v1/schools/north/settings" -d '{
	"name": "North", "rules": {"absence": {"max_age": -1}, "receipt": {"max_age": -1}}}'
event() { # id type data
	jq -cn --arg id "$1" --arg type "schoolbell.$2.v1" --argjson data "$3" '{specversion: "1.0", $id, source: "/sis",
		$type, time: "2026-09-07T08:00:00Z", $data}'
}
position=$({
	event e1 student.enrolled '{"student_id":"s1","given_name":"Ada","family_name":"Lovelace","class_id":"7a","on":"2026-09-01"}'
	event e2 student.enrolled '{"student_id":"s2","given_name":"Ben","family_name":"Okri","class_id":"7a","on":"2026-09-01"}'
	event e3 guardian.linked '{"guardian_id":"g1","student_id":"s1","name":"Anna","relation":"mother","primary":true,"phone":"+33639980001","email":"anna@example.org"}'
	event e4 attendance.marked '{"student_id":"s1","class_id":"7a","date":"2026-09-07","session":"day","status":"absent_unexcused"}'
	event e5 attendance.marked '{"student_id":"s2","class_id":"7a","date":"2026-09-07","session":"day","status":"late"}'
	event e6 fee.invoiced '{"invoice_id":"i1","student_id":"s1","year":"2026","term":"1","category":"tuition","amount":50000,"currency":"EUR","due_on":"2026-10-01"}'
	event e7 fee.payment_received '{"payment_id":"p1","invoice_id":"i1","student_id":"s1","amount":20000,"currency":"EUR","method":"card"}'
} | jq -cs . | api -H 'Content-Type: application/cloudevents-batch+json' --data-binary @- "$url/v1/schools/north/events" |
	jq -r .position)
api -o /dev/null --retry 20 --retry-delay 1 -H "Schoolbell-Min-Position: $position" "$url/v1/schools/north/students"
# until every delivery is at its end
until api "$url/v1/schools/north/deliveries?limit=100" >"$data/deliveries" &&
	jq -e '.deliveries | length > 1 and all(.state | IN("planned", "scheduled", "queued", "sending", "retrying") | not)' \
		"$data/deliveries" >/dev/null; do
	sleep 0.5
done
sleep 3 # so that the outcomes are in the log and the tables too

for path in students students/s1 students/s1/timeline analytics/overview analytics/attendance analytics/fees \
	deliveries outbox settings; do
	jq -n --arg path "$path" --argjson body "$(api "$url/v1/schools/north/$path")" '{$path, $body}'
done | jq -s . >"$here/responses.json"
echo "$token" >"$here/token"
pg_dump --inserts --no-owner "$database" | grep -v '^\\' | gzip -9n >"$here/database.sql.gz"
kill $serve
wait $serve || true
cp "$data/jwt-secret" "$data/link-key" "$here/"
tar -C "$data" --sort=name --owner=0 --group=0 -czf "$here/kafka.tar.gz" kafka
