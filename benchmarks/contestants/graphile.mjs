// The worker process of graphile-worker; what to do stands in the environment (see tally.py).
import { openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Logger, run } from "graphile-worker";

const kind = process.env.BENCH_HANDLER;
const counts = ["noop", "nap"].includes(kind);
const nap = Number(process.env.BENCH_SECONDS) * 1000;
const total = Number(process.env.BENCH_TOTAL);
const concurrency = Number(process.env.BENCH_CONCURRENCY ?? 24);
const stamps = openSync(process.env.BENCH_STAMPS, "a");
let began = 0;

const say = (word) => writeSync(stamps, `${word} ${process.hrtime.bigint()}\n`);
const count = () => {
  began += 1;
  if (began === 1) say("first");
  if (began === total) say("last");
};
const handle = async ({ seq }) => {
  if (counts) count();
  else say(seq);
  if (nap) await sleep(nap);
};

// The preset of its page "Performance".
const runner = await run({
  taskList: { [kind]: handle },
  noHandleSignals: true,
  logger: new Logger(() => (level, message) => {
    if (level === "error") console.error(message);
  }),
  preset: {
    worker: {
      connectionString: process.env.DATABASE_URL,
      concurrentJobs: concurrency,
      maxPoolSize: 25,
      localQueue: { size: Math.max(500, concurrency) },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
});
await runner.promise;
