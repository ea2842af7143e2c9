// Where things are: the repository and the npm packages that pages are given.
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");

/** The folder of an installed npm package. */
export function packageFolder(name) {
  const folder = path.join(root, "node_modules", name);
  if (!existsSync(path.join(folder, "package.json")))
    throw new Error(`npm package ${name} is not installed: run \`npm install\``);
  return folder;
}
