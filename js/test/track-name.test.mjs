import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { trackNames, withoutQuery } = await load("adapter/track-name.ts");

const vectors = JSON.parse(
  readFileSync(new URL("../../tests/vectors/track-names.json", import.meta.url), "utf8"),
);

for (const { case: what, manifest, playlists } of vectors.manifests) {
  test(`names: ${what}`, () => {
    assert.deepEqual(
      trackNames(manifest, playlists),
      playlists.map(({ name }) => name),
    );
  });
}

test("a query and a fragment are left out, whatever is in them", () => {
  assert.equal(
    withoutQuery("https://a.example/x.m3u8?u=https://b.example/#y?z\n"),
    "https://a.example/x.m3u8",
  );
  assert.equal(withoutQuery("https://a.example/x.m3u8#?"), "https://a.example/x.m3u8");
});
