/** Sums what Rust's and Node's runners print. */
export function countTests(output) {
  let passed = 0;
  let failed = 0;
  for (const [, ok, bad] of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed/gm)) {
    passed += Number(ok);
    failed += Number(bad);
  }
  for (const [, kind, count] of output.matchAll(/^(?:ℹ|#) (pass|fail|cancelled) (\d+)$/gm)) {
    if (kind === "pass") passed += Number(count);
    else failed += Number(count);
  }
  return { passed, failed };
}
