"""Publishes marks with both interfaces of the CloudEvents SDK, in all of its ways."""

import sys
import urllib.request

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.conversion import to_binary, to_json, to_structured
from cloudevents.v1.http import CloudEvent as OldEvent

address, token = sys.argv[1:]
mark = {"student_id": "s-1", "class_id": "7A", "date": "2026-09-01", "session": "day", "status": "late"}
text = b'{"student_id":"s-1","class_id":"7A","date":"2026-09-01","session":"day","status":"late"}'


def attributes(n, **more):
    return {
        "id": f"python-{n}", "source": "/sis/python", "type": "schoolbell.attendance.marked.v1",
        "actor": "Élodie", **more,
    }


def post(headers, body):
    request = urllib.request.Request(address, body, dict(headers), method="POST")
    request.add_header("Authorization", "Bearer " + token)
    # urllib would name the type of forms where the SDK names none
    if not any(name.lower() == "content-type" for name in headers):
        request.add_unredirected_header("Content-Type", "")
    try:
        urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as e:
        sys.exit(f"{headers}: {e.code} {e.read().decode()}")


json_type = {"datacontenttype": "application/json"}
post(*to_binary(OldEvent(attributes(1), mark)))
post(*to_structured(OldEvent(attributes(2), mark)))
post(*to_binary(OldEvent(attributes(3, **json_type), text)))
post(*to_structured(OldEvent(attributes(4, **json_type), text)))
for n, to_message in [(5, to_binary_event), (6, to_structured_event)]:
    message = to_message(CloudEvent(attributes(n), mark))
    post(message.headers, message.body)
for n, to_message in [(7, to_binary_event), (8, to_structured_event)]:
    message = to_message(CloudEvent(attributes(n, **json_type), text))
    post(message.headers, message.body)
post({"Content-Type": "application/cloudevents-batch+json"},
     b"[" + to_json(OldEvent(attributes(9), mark)) + b"]")
