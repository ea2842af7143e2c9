// SECURITY.md names tests as evidence: they must exist.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { at } from "./run.mjs";

const text = readFileSync(at("SECURITY.md"), "utf8");

/** File and name of each test in the table of threats. */
function evidence() {
  const [, table] = text.split("| attack | what stops it | shown by |\n");
  const rows = table.split("\n\n")[0].split("\n").slice(1);
  return rows.flatMap((row) => {
    const cells = row.split(" | ");
    const found = [];
    let file;
    for (const [, path, name] of cells.at(-1).matchAll(/`([^`]+)`|"([^"]+)"/g)) {
      if (path) file = path;
      else found.push({ attack: cells[0], file, name });
    }
    assert.ok(found.length > 0, `no test is named for ${cells[0]}`);
    return found;
  });
}

test("every test that SECURITY.md names exists", () => {
  const missing = evidence().filter(({ file, name }) => {
    const source = readFileSync(at(file), "utf8");
    const forms = file.startsWith("fuzz/") ? [name] : [`fn ${name}(`, `test("${name}"`, `    ${name}: "`];
    return !forms.some((form) => source.includes(form));
  });
  assert.deepEqual(missing, []);
});

test("every attack of the threat table names a test", () => {
  assert.ok(evidence().length >= 20);
});

test("every row of the table of hostile peers is also played against a page", () => {
  const [, table] = text.split("| a peer's | bound | test |\n");
  const rows = [...table.split("<!-- end -->")[0].matchAll(/`(\w+)` \|$/gm)].map(([, name]) => name);
  const attacks = readFileSync(at("tests/browser/harness/page/attacks.mjs"), "utf8");
  const played = readFileSync(at("tests/browser/hostile.test.mjs"), "utf8");
  assert.ok(rows.length >= 26, rows.join());
  assert.deepEqual(
    rows.filter((name) => !attacks.includes(`  ${name}: {`) || !played.includes(name)),
    [],
  );
});
