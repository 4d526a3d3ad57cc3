// What `schoolbell bench jobs` does with deliveries, done with BullMQ: add jobs, do them, both at the same time, and see how
// soon one is picked up. Takes the port of a Redis and the settings; prints what it measured as JSON.
const { Queue, Worker } = require('bullmq');

const [port, deliveries, schools, rate, pickup, concurrency] = process.argv.slice(2).map(Number);
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
const addAtOnce = 1000;

const queue = new Queue('notification', { connection });
let done = 0;
let asked = null; // when each was, while the pick-up is measured

const worker = new Worker('notification', async (job) => { asked?.set(job.id, performance.now()); }, { connection, concurrency, autorun: false });
worker.on('completed', () => { done++; });
worker.on('error', (err) => { console.error(err); process.exit(1); });

// The id keeps a job from being added twice, as a delivery's does.
const job = (i) => ({
  name: 'deliver',
  data: {
    school: `school-${i % schools}`, event: `e${i}`, recipient: `g${i}`, channel: 'in_app', template: 'absence', language: 'en',
    params: { student: 'Ama Diallo', date: '2026-09-01', session: 'day' },
  },
  opts: { jobId: `d${i}`, attempts: 10, backoff: { type: 'exponential', delay: 1000 } },
});

// add adds jobs, two batches at the same time.
async function add(from, n) {
  let next = from;
  const adder = async () => {
    while (next < from + n) {
      const batch = [];
      for (; batch.length < addAtOnce && next < from + n; next++) batch.push(job(next));
      await queue.addBulk(batch);
    }
  };
  await Promise.all([adder(), adder()]);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(n) {
  while (done < n) await pause(1);
}

async function perSecond(f) {
  const began = performance.now();
  await f();
  return deliveries / (performance.now() - began) * 1000;
}

// pickUp adds jobs at a steady rate, and returns the milliseconds from the answer to each until it was begun.
async function pickUp(from) {
  const n = Math.round(rate * pickup);
  const added = new Map();
  const adding = [];
  asked = new Map();
  const began = performance.now();
  for (let i = 0; i < n; i++) {
    while (performance.now() - began < i * 1000 / rate) await pause(1);
    const j = job(from + i);
    adding.push(queue.add(j.name, j.data, j.opts).then(() => added.set(j.opts.jobId, performance.now())));
  }
  await Promise.all(adding);
  await until(from + n);
  return [...added].map(([id, at]) => Math.max(0, asked.get(id) - at));
}

(async () => {
  await queue.waitUntilReady();
  await worker.waitUntilReady();
  const planned = await perSecond(() => add(0, deliveries));
  worker.run();
  const executed = await perSecond(() => until(deliveries));
  const both = await perSecond(() => Promise.all([add(deliveries, deliveries), until(2 * deliveries)]));
  const picked = await pickUp(2 * deliveries);
  await worker.close();
  await queue.obliterate({ force: true }); // the next round begins with nothing
  await queue.close();
  console.log(JSON.stringify({ planned: [planned], done: [executed], both: [both], pickup_ms: picked }));
})();
