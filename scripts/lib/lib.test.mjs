// The test runner's own arithmetic, and commands that fail.
import assert from "node:assert/strict";
import { test } from "node:test";
import { countTests } from "./counts.mjs";
import { run, startServer, which } from "./run.mjs";

test("counts of both runners are summed", () => {
  const output = [
    "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
    "ℹ tests 9",
    "ℹ pass 6",
    "ℹ fail 1",
    "ℹ cancelled 2",
    "ℹ skipped 0",
  ].join("\n");
  assert.deepEqual(countTests(output), { passed: 21, failed: 5 });
});

test("a command's end, output and absence are told", async () => {
  const node = process.execPath;
  assert.deepEqual(await run(node, ["-e", "process.exit(3)"]), {
    ok: false,
    code: 3,
    output: "",
    timedOut: false,
  });
  assert.equal((await run("no-such-program", [], { quiet: true })).ok, false);
  const slow = await run(node, ["-e", "setInterval(() => {}, 1000)"], { timeoutMs: 300, quiet: true });
  assert.equal(slow.timedOut, true);
  assert.equal(slow.ok, false);
  assert.ok(which("node"));
  assert.equal(which("no-such-program"), undefined);
});

test("a server that never becomes ready is an error with its last words", async () => {
  await assert.rejects(
    startServer(process.execPath, ["-e", "console.error('port taken'); process.exit(1)"], {
      ready: /listening/,
    }),
    /ended with 1: port taken/,
  );
  const server = await startServer(
    process.execPath,
    ["-e", "console.log('listening on 7'); setInterval(() => {}, 1000)"],
    {
      ready: /listening on (\d+)/,
    },
  );
  assert.equal(server.match[1], "7");
  await server.stop();
});
