# What confluent-kafka (librdkafka) can do to an inbox. Prints "school id" of each event that must count.
import json, os
from confluent_kafka import Producer

INBOX = "schoolbell.inbox"


def producer(**config):
    return Producer({"bootstrap.servers": os.environ["BROKERS"], **{k.replace("_", "."): v for k, v in config.items()}})


def data(event_id):
    return {"student_id": event_id, "class_id": "7a", "date": "2026-09-08", "session": "day", "status": "present"}


def binary(event_id):
    return [("ce_specversion", "1.0"), ("ce_id", event_id), ("ce_source", "/sis/python"),
            ("ce_type", "schoolbell.attendance.marked.v1"), ("content-type", "application/json")]


def send(p, school, event_id):
    p.produce(INBOX, key=school, headers=binary(event_id), value=json.dumps(data(event_id)))


def counts(school, event_id):
    print(school, event_id)


for partitioner in ["consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random", "random"]:
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        p = producer(partitioner=partitioner, compression_type=codec, enable_idempotence=True)
        for school in ["kn", "kjs", "kw", "ktx"]:
            send(p, school, f"py-{partitioner}-{codec}")
            counts(school, f"py-{partitioner}-{codec}")
        p.flush()

p = producer()
event = {"specversion": "1.0", "id": "py-structured", "source": "/sis/python", "school": "kn",
         "type": "schoolbell.attendance.marked.v1", "subject": None, "data": data("py-structured")}
p.produce(INBOX, headers={"content-type": "application/cloudevents+json; charset=utf-8"}, value=json.dumps(event))
counts("kn", "py-structured")
p.produce(INBOX, key="kn")  # a tombstone
p.produce(INBOX, key="kn", headers=binary("py-tombstone"))
send(p, "kn", "py-twice")
send(p, "kn", "py-twice")
counts("kn", "py-twice")
p.flush()

p = producer(transactional_id="py", transaction_timeout_ms=5000)
p.init_transactions()
for event_id, commit in [("py-committed", True), ("py-aborted", False), ("py-committed-again", True)]:
    p.begin_transaction()
    for school in ["kn", "ktx"]:
        send(p, school, event_id)
    p.flush()
    if commit:
        p.commit_transaction()
        for school in ["kn", "ktx"]:
            counts(school, event_id)
    else:
        p.abort_transaction()
p.begin_transaction()
send(p, "ktx", "py-open")
p.flush()
p = producer(partitioner="consistent_random")  # behind the open one, until Kafka aborts that
send(p, "ktx", "py-behind")
counts("ktx", "py-behind")
p.flush()
os.sys.stdout.flush()
os._exit(0)  # without an end of the transaction
