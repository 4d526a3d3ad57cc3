// What kafkajs can do to an inbox. Prints "school id" of each event that must count.
const { Kafka, Partitioners, CompressionTypes, logLevel } = require("kafkajs");

const kafka = new Kafka({ brokers: process.env.BROKERS.split(","), logLevel: logLevel.ERROR });
const topic = "schoolbell.inbox";
const data = (id) => JSON.stringify({ student_id: id, class_id: "7a", date: "2026-09-08", session: "day", status: "present" });
const mark = (school, id) => ({
  key: school, value: data(id),
  headers: { ce_specversion: "1.0", ce_id: id, ce_source: "/sis/node", ce_type: "schoolbell.attendance.marked.v1" },
});
const counts = (school, id) => console.log(school, id);

(async () => {
  for (const [name, createPartitioner] of Object.entries(Partitioners)) {
    if (typeof createPartitioner !== "function") continue;
    const producer = kafka.producer({ createPartitioner });
    await producer.connect();
    for (const [codec, compression] of [["none", CompressionTypes.None], ["gzip", CompressionTypes.GZIP]]) {
      for (const school of ["kn", "kjs", "kw", "ktx"]) {
        const id = `js-${name}-${codec}`;
        await producer.send({ topic, compression, messages: [mark(school, id)] });
        counts(school, id);
      }
    }
    await producer.send({ topic, messages: [{ key: "kjs", value: null }] }); // a tombstone
    await producer.disconnect();
  }
  const producer = kafka.producer({ transactionalId: "js", maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  for (const [id, end] of [["js-committed", "commit"], ["js-aborted", "abort"]]) {
    const transaction = await producer.transaction();
    for (const school of ["kjs", "ktx"]) {
      await transaction.send({ topic, messages: [mark(school, id)] });
      if (end === "commit") counts(school, id);
    }
    await transaction[end]();
  }
  await producer.disconnect();
})();
